"""Budgets: what agents use a day, what it costs, and when they must wait."""

from nanoclaw.budgets.breakers import OpenBreaker
from nanoclaw.budgets.keeper import BudgetKeeper

__all__ = ["BudgetKeeper", "OpenBreaker"]
