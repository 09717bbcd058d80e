"""The kinds of approvals, one module each. A module names its kind `KIND`."""
