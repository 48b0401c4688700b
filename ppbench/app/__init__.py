"""From the words of a command to jobs, and from what became of them to a display."""
