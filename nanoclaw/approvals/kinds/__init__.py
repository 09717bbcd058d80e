"""The kinds of approvals, one module each. `KIND` of a module makes its kind, given an `Installation`."""
