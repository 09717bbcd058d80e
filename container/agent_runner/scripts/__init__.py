"""The scripts of tasks: the seam that runs them, their processes, and their verdicts."""
