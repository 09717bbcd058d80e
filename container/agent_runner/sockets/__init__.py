"""Sockets of the runner: to the model gateway, and for programs of the sandbox."""
