"""What all tests need."""

import os
import signal
from pathlib import Path

import pytest

# As in production, where a searcher's process has one thread: on matrices as small as theirs two wait for each other.
# It is read when numpy and PyTorch are imported.
os.environ["OMP_NUM_THREADS"] = "1"

# All servers of a run remember the cards of installed trainables together, and not in the cache of whoever runs it.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / "build" / "cache")

pytest.register_assert_rewrite("tests.contracts", "tests.integration.ray.ray_harness")

# A shell that runs the tests in its background has Ctrl-C ignored in all that it starts, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
