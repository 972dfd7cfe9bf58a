"""``python -m tests.simulation --seed N`` replays one seed with its trace, ``--seeds A:B --jobs 2`` runs many."""

# ruff: noqa: T201  # a command prints
import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import get_context

from tests.simulation.plan import Fault
from tests.simulation.world import Outcome, simulated


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a promise was broken, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="replay one, with its trace")
    which.add_argument("--seeds", help="FIRST:END, without the end")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    told = parser.parse_args(arguments)
    if told.seed is not None:
        outcome = simulated(told.seed, print)
        print(f"{outcome.seconds:.1f} virtual seconds, {len(outcome.log)} facts")
        print("\n".join(outcome.broken) or "every promise was kept")
        return bool(outcome.broken)
    first, end = map(int, told.seeds.split(":"))
    return _many(range(first, end), told.jobs)


def _many(seeds: range, jobs: int) -> int:
    fired: Counter[Fault] = Counter()
    worlds: Counter[Fault] = Counter()
    failed = done = 0
    began = time.perf_counter()
    with get_context("spawn").Pool(jobs) as pool:
        for outcome in pool.imap_unordered(simulated, seeds, chunksize=10):
            done += 1
            fired += outcome.fired
            worlds.update(outcome.fired.keys())
            if outcome.broken:
                failed += 1
                print(said(outcome), flush=True)
            if done % 1000 == 0:
                print(f"{done} seeds, {done / (time.perf_counter() - began):.1f}/s, {failed} failed", flush=True)
    seconds = time.perf_counter() - began
    print(f"{done} seeds in {seconds:.0f} s, {done / seconds:.1f}/s")
    for fault in Fault:
        print(f"{fired[fault]:8} in {worlds[fault]:6} seeds: {fault.value}")
    print(f"{failed} seeds broke a promise")
    return bool(failed)


def said(outcome: Outcome) -> str:
    """How a broken promise is told: what to run to see it, then what was broken."""
    shown = "\n".join(f"    {line}" for line in outcome.broken[:5])
    return f"python -m tests.simulation --seed {outcome.seed}\n{shown}"


if __name__ == "__main__":
    sys.exit(main())
