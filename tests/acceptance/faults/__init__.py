"""Faults against the real processes: what callers were told is written down, and compared with what is there after."""
