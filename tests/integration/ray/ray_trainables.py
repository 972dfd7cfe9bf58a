"""Trainables that try what only a real process can show, beside those of all tests."""

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import tests.data.trainables_for_tests  # noqa: F401  # a worker runs one module's trainables, so this registers them all
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
def falls_silent(ctx: Context) -> Iterator[dict[str, Any]]:
    """Prints each epoch. In the second it sleeps a little, in which the first is heard of, and then for eight seconds
    in C without letting any other thread run."""
    for epoch in ctx.epochs():
        print(f"epoch {epoch}", flush=True)  # noqa: T201
        if epoch == 2:
            time.sleep(0.3)
            ctypes.PyDLL(None).sleep(8)
        yield {"loss": 1.0}


@trainable(metrics=LOSS)
def handles_sigterm(ctx: Context) -> Iterator[dict[str, Any]]:
    """Takes SIGTERM itself: the loss is how often it came."""
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    for _ in ctx.epochs():
        time.sleep(0.1)
        yield {"loss": float(len(seen))}


@trainable(metrics=LOSS)
def terminates_a_child(ctx: Context) -> Iterator[dict[str, Any]]:
    """Forks, sends the child SIGTERM, and reports the signal that ended it as its loss."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child, signal.SIGTERM)
    yield {"loss": float(os.WTERMSIG(os.waitpid(child, 0)[1]))}


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
