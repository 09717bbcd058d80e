"""The kinds of approvals, one module each, with a `KIND`: a class that takes an `Installation`, or a kind."""
