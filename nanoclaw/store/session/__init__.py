"""The files of a session: one module an entity. The session actor alone writes `inbound.db`."""
