"""The gateway: the way of agents to their models. It holds the keys."""
