"""Runs segments of any form of trainable in one process. Knows nothing of Ray's cluster, so it is tested without it."""
