"""Code for all databases: ownership, connections, transactions, migrations, and guarded reading."""
