"""Worlds: the real host and the real runner, with users, chats and agents, in virtual or in real time."""
