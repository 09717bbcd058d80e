"""The central database `v2.db`: one module per entity. Only the registry writes it."""
