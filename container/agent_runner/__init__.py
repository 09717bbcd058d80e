"""The runner: takes a session's messages from inbound.db and answers through outbound.db.

`python -m agent_runner` is the program inside the session's container. A simulation calls
`agent_runner.runner.run_runner` with its own seams. The package imports nothing of the host.
"""
