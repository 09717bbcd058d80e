"""The kinds of approvals that come with NanoClaw, one module each."""
