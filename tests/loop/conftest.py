"""Loads both SDKs once, so that no test of the loop waits for a thread in virtual time."""

import anthropic
import openai

__all__ = ["anthropic", "openai"]
