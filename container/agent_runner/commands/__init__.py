"""Slash commands: messages that the runner answers itself, such as `/status`. One module a command."""
