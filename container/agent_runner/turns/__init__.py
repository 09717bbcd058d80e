"""Turns: selecting their rows, claiming them, calling the provider, and committing the outcome."""
