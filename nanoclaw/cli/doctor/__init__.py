"""`nanoclaw doctor`: looks at all that a host needs, changes nothing, and says what to do."""
