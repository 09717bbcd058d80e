"""The terminal's chat: the channel `cli`, its front ends (a prompt, a pipe), and clients of the socket."""
