"""Simulations of whole workloads: what people and agents do, which faults strike, and what must hold."""
