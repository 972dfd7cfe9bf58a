"""Servers killed in simulated worlds, many a second, with whatever else may happen there."""

import gc
import logging
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from multiprocessing import get_context

from tests.simulation.plan import Fault, Plan, planned
from tests.simulation.world import Outcome, World, simulated

KILLS = 12
"""Kills planned for a world; some find the server dead already."""

LOST = ("what is acknowledged is durable", "the store holds what it was given", "what is done is durable before")
DUPLICATED = ("a trial reaches a final state once and keeps it", "no epoch is measured twice")
JOBS = 2


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of worlds: how many, kills in them, and promises broken in each way."""

    seeds: int
    kills: int
    lost: int
    duplicates: int
    broken: int


def kill_simulated_servers(wanted: int) -> Simulated:
    """Play worlds full of kills until there were so many."""
    return summed(_until(wanted))


def play_seeds(seeds: int) -> Simulated:
    """Play worlds with every kind of fault."""
    with get_context("spawn").Pool(JOBS) as pool:
        return summed(pool.imap_unordered(simulated, range(seeds), chunksize=10))


def _until(wanted: int) -> Iterable[Outcome]:
    kills = 0
    with get_context("spawn").Pool(JOBS, _begin) as pool:
        for outcome in pool.imap_unordered(_played, range(wanted), chunksize=5):
            yield outcome
            kills += outcome.fired[Fault.SERVER_KILLED]
            if kills >= wanted:
                pool.terminate()
                return


def deadly(seed: int) -> Outcome:
    """Play the plan of a seed with many more kills of servers in it."""
    return replace(World(with_kills(planned(seed))).run(), log=())


def _begin() -> None:
    """In a process that only plays worlds: no log, and garbage is collected between worlds only."""
    logging.getLogger("searchd").propagate = False
    logging.getLogger("searchd").addHandler(logging.NullHandler())
    gc.disable()


def _played(seed: int) -> Outcome:
    outcome = deadly(seed)
    gc.collect()
    return outcome


def with_kills(plan: Plan) -> Plan:
    """The plan with many more kills of servers in it."""
    chance = random.Random(plan.seed)
    kills = [(chance.uniform(0.5, plan.quiet_at), Fault.SERVER_KILLED) for _ in range(KILLS)]
    kinds = plan.kinds | {Fault.SERVER_KILLED}
    return replace(plan, kinds=kinds, faults=tuple(sorted([*plan.faults, *kills])))


def summed(outcomes: Iterable[Outcome]) -> Simulated:
    """What worlds came to, together."""
    seeds = kills = broken = 0
    promises: Counter[str] = Counter()
    for outcome in outcomes:
        seeds += 1
        kills += outcome.fired[Fault.SERVER_KILLED]
        broken += bool(outcome.broken)
        promises.update(line.partition(":")[0] for line in outcome.broken)
    lost = sum(promises[promise] for promise in LOST)
    return Simulated(seeds, kills, lost, sum(promises[promise] for promise in DUPLICATED), broken)
