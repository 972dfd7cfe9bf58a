"""What all tests need."""

import signal

# A shell that runs the tests in its background has Ctrl-C ignored in all that it starts, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
