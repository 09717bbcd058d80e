"""The kinds of approvals, one module each.

Its `KIND` is the kind, or a class or function that makes the kind from an `Installation`.
"""
