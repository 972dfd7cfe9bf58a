"""What all tests need."""

import signal

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.integration.ray.ray_harness")

# A shell that runs the tests in its background has Ctrl-C ignored in all that it starts, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
