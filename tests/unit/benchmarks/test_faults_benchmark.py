"""What the benchmark of faults counts: that it would notice what should not be."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.kills import Kills
from benchmarks.leaders import NAMES, Leaders, judged
from benchmarks.simulated_kills import KILLS, LOST, deadly, summed, with_kills
from searchd.stores.sql import open_sql_store
from tests.acceptance.faults.promises import Broken, Promise
from tests.simulation.plan import Fault, planned
from tests.simulation.world import Outcome


def booked(folder: Path, *lines: Mapping[str, object]) -> Leaders:
    """What is made of what two servers wrote down, the last line cut short."""
    open_sql_store(f"sqlite:///{folder / 'store.db'}").close()
    for name in NAMES:
        (folder / name).write_text("")
    (folder / NAMES[0]).write_text("\n".join([*map(json.dumps, lines), '{"epo']))
    return judged(folder, 3)


def test_commits_in_order_are_no_stale_writes(tmp_path: Path) -> None:
    """Leaders that write one after the other are in order."""
    first, second = {"epoch": 1, "first": 1, "last": 4}, {"epoch": 2, "first": 5, "last": 5}
    assert booked(tmp_path, second, first) == Leaders(3, 2, 0, 0)


def test_a_commit_of_an_older_epoch_is_a_stale_write(tmp_path: Path) -> None:
    """A commit after one of a later epoch is stale, and so is one whose revisions are another's."""
    first, second = {"epoch": 2, "first": 1, "last": 4}, {"epoch": 1, "first": 5, "last": 5}
    twice = {"epoch": 2, "first": 5, "last": 6}
    assert booked(tmp_path, first, second, twice).stale_writes == 2


def test_an_answer_that_is_not_stored_is_lost(tmp_path: Path) -> None:
    """An answer that the store knows nothing of is counted."""
    assert booked(tmp_path, {"answered": "create x"}).lost == 1


def test_deadly_worlds_have_many_kills() -> None:
    """A world full of kills has most of those that are planned, and keeps its promises."""
    plan = with_kills(planned(3))
    assert sum(fault is Fault.SERVER_KILLED for _, fault in plan.faults) >= KILLS
    outcome = deadly(3)
    assert outcome.fired[Fault.SERVER_KILLED] >= 3
    assert outcome.broken == ()


def test_broken_promises_of_worlds_are_counted() -> None:
    """Each world that broke a promise counts once, and each fact lost by itself."""
    broken = (f"{LOST[0]}: create-1", f"{LOST[0]}: create-2", "a trial reaches a final state once and keeps it: 1")
    fired = Counter({Fault.SERVER_KILLED: 2})
    found = summed([Outcome(1, broken, fired, (), 1.0), Outcome(2, (), fired, (), 1.0)])
    assert (found.seeds, found.kills, found.lost, found.duplicates, found.broken) == (2, 4, 2, 1, 1)


def test_broken_promises_of_kills_are_sorted() -> None:
    """Facts lost, ends recorded twice and faults of watches are told apart."""
    promises = (Promise.ACKNOWLEDGED, Promise.SHOWN, Promise.COMPLETED_ONCE, Promise.WATCH_GAP, Promise.TRAINED_ONCE)
    kills = Kills(1, [1.0], 1, 1, 1, 0, [Broken(promise, "") for promise in promises])
    assert (kills.lost, kills.duplicates, kills.watch_faults) == (2, 1, 1)
