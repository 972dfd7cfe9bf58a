"""Whole servers under faults in virtual time: everything that happens follows from a seed, and can be replayed."""
