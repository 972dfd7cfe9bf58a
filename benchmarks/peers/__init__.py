"""The peers, each run as a process of its own that leaves its numbers in a file."""
