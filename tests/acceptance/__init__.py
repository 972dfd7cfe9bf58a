"""Acceptance tests: the real processes, as a user starts and kills them."""
