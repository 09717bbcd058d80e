"""What the host needs of its machine: clock, ids, file events, lines of bytes, its own files."""
