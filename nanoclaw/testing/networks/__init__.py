"""Servers on loopback that speak the protocols of chat networks, to test channels and bots with."""
