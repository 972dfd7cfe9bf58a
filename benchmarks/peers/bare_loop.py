"""Random search by hand: a loop that keeps two warm Ray actors supplied, in memory, with nothing around it."""

import argparse
import logging
import random
import time
from collections.abc import Callable
from typing import Any

import ray

from benchmarks.arms import SLOTS, write_result
from benchmarks.work import HIGH, LOW, square

WARM_UP_TRIALS = 500


class Evaluator:
    """Evaluates configurations."""

    def evaluate(self, configuration: dict[str, float]) -> float:
        """The loss of one configuration."""
        return square(configuration["x"])

    def evaluate_group(self, configurations: list[dict[str, float]]) -> list[float]:
        """The losses of several."""
        return [square(configuration["x"]) for configuration in configurations]


def search(actors: list[Any], trials: int, group: int, calls: int) -> float:
    """Trials per second over at least ``trials`` of them.

    Args:
        actors: Warm ones.
        trials: How many.
        group: Configurations in a call; 1 sends each by itself.
        calls: Calls in flight per actor.
    """
    rng = random.Random(0)
    best = float("inf")
    done = sent = 0
    flying: dict[Any, Any] = {}

    def send_one(actor: Any) -> Any:
        return actor.evaluate.remote({"x": rng.uniform(LOW, HIGH)})

    def send_group(actor: Any) -> Any:
        return actor.evaluate_group.remote([{"x": rng.uniform(LOW, HIGH)} for _ in range(group)])

    send: Callable[[Any], Any] = send_one if group == 1 else send_group
    began = time.perf_counter()
    for actor in actors * calls:
        flying[send(actor)] = actor
        sent += group
    while flying:
        (ready,), _ = ray.wait(list(flying), num_returns=1)
        actor = flying.pop(ready)
        if sent < trials:
            flying[send(actor)] = actor
            sent += group
        losses = ray.get(ready)
        best = min(best, losses if group == 1 else min(losses))
        done += group
    return done / (time.perf_counter() - began)


def main() -> None:
    """Measure as often as told; the middle one counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--group", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    actors = [ray.remote(num_cpus=1)(Evaluator).remote() for _ in range(SLOTS)]
    search(actors, WARM_UP_TRIALS, options.group, options.calls)
    rates = sorted(search(actors, options.trials, options.group, options.calls) for _ in range(options.repeats))
    write_result({"trials_per_second": rates[len(rates) // 2]})
    ray.shutdown()


if __name__ == "__main__":
    main()
