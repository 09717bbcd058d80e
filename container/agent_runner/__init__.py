"""What runs inside a session's container: takes messages from inbound.db, answers through outbound.db.

`python -m agent_runner` is the program. A simulation calls `agent_runner.runner.run_runner` with seams of
its own. The package imports nothing of the host.
"""
