"""Databases as such: ownership, connections, transactions, migrations, and guarded reading."""
