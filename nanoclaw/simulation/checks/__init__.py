"""Checks of a simulated workload: each yields a sentence for every violation that it finds."""
