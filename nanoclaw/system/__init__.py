"""Access to the machine: clock, ids, file events, lines of bytes, installed files."""
