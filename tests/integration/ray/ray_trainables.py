"""Trainables that try what only a real process can show."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from searchd.trainable import Context, trainable

LOSS = {"loss": "minimize"}


@trainable(metrics=LOSS)
def on_the_main_thread(ctx: Context) -> Iterator[dict[str, Any]]:
    """Reports loss 1 if it runs on the main thread, where signal handlers can be set."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, before)
    yield {"loss": float(threading.current_thread() is threading.main_thread())}


@trainable(metrics=LOSS)
def holds_the_interpreter(ctx: Context) -> Iterator[dict[str, Any]]:
    """Says so, blocks SIGTERM, then sleeps in C without letting any other thread run."""
    print("about to hang in C", flush=True)  # noqa: T201
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield {"loss": 1.0}
    ctypes.PyDLL(None).sleep(1000)


@trainable(metrics=LOSS)
def shows_its_devices(ctx: Context) -> Iterator[dict[str, Any]]:
    """Reports loss 1 if it is to use the GPU and Ray shows it one."""
    yield {"loss": float(ctx.device == "cuda" and os.environ.get("CUDA_VISIBLE_DEVICES") == "0")}


@trainable(metrics=LOSS)
def last_words(ctx: Context) -> Iterator[dict[str, Any]]:
    """Prints, then ends its process."""
    print("these are my last words")  # noqa: T201
    if ctx.max_epochs > 0:
        os._exit(3)
    yield {"loss": 0.0}
