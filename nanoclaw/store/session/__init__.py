"""The files of a session: one module per entity. Only the session actor writes `inbound.db`."""
