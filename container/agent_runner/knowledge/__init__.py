"""What an agent reads besides messages: its notes, its skills, and files of instructions."""
