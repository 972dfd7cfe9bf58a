"""Processes to compute in, one thread each."""

import functools
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@functools.cache
def processes() -> ProcessPoolExecutor:
    """As many processes as there are processors, the same ones for everybody: what they import takes seconds."""
    os.environ.update(ONE_THREAD)  # linear algebra reads it when it is first imported, in the processes
    return ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))
