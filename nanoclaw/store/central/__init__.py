"""The central database `v2.db`: one module an entity. The registry alone writes it."""
