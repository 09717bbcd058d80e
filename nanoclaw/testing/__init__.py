"""The simulation harness and public fakes."""
