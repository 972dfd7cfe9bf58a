"""Plain processes that take trials from a queue: what the machine can do with nothing around it."""

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.queues import SimpleQueue

from benchmarks.arms import write_result
from benchmarks.training import seconds_to_train, train_network

WARM_UP_ITERATIONS = 50
CALIBRATION_ITERATIONS = 500
SOLO_REPEATS = 3


def work(trials: "SimpleQueue[int | None]", done: "SimpleQueue[int]", iterations: int) -> None:
    """Train what the queue says until it says None; -1 means ready."""
    train_network(WARM_UP_ITERATIONS, 0)
    done.put(-1)
    while (seed := trials.get()) is not None:
        train_network(iterations, seed)
        done.put(seed)


def wall(trials: int, processes: int, iterations: int) -> float:
    """Seconds from the first trial's start to the last one's end, with warm processes."""
    context = multiprocessing.get_context("spawn")
    todo: SimpleQueue[int | None] = context.SimpleQueue()
    done: SimpleQueue[int] = context.SimpleQueue()
    workers = [context.Process(target=work, args=(todo, done, iterations)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for _ in workers:
        done.get()
    began = time.perf_counter()
    for seed in range(trials):
        todo.put(seed)
    for _ in range(trials):
        done.get()
    seconds = time.perf_counter() - began
    for _ in workers:
        todo.put(None)
    for worker in workers:
        worker.join()
    return seconds


def calibrated(solo_seconds: float) -> dict[str, float]:
    """The iterations that take a process alone so long, and how long they do take it."""
    train_network(WARM_UP_ITERATIONS, 0)
    each = seconds_to_train(CALIBRATION_ITERATIONS, 0) / CALIBRATION_ITERATIONS
    iterations = max(round(solo_seconds / each), 1)
    measured = [seconds_to_train(iterations, seed) for seed in range(SOLO_REPEATS)]
    return {"iterations": iterations, "solo_seconds": statistics.median(measured)}


def main() -> None:
    """Calibrate, or run trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calibrate", type=float, metavar="SECONDS")
    parser.add_argument("--trials", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=1)
    options = parser.parse_args()
    if options.calibrate is not None:
        write_result(calibrated(options.calibrate))
    else:
        write_result({"wall_seconds": wall(options.trials, options.processes, options.iterations)})


if __name__ == "__main__":
    main()
