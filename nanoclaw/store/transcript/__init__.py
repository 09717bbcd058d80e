"""The transcript of an HTTP channel: what was said in its chats, for clients that ask later."""
