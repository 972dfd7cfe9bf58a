"""What a store in a database keeps when its process is killed or refused at the worst moment.

Subclass it and give a ``url`` fixture of a new database. Each fault happens in a process of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from searchd.domain.facts import TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, trial
from tests.contracts.stored_values import whole

ROOT = Path(__file__).parents[2]

COMMITTING = """
import sys
from searchd.domain.facts import MeasurementAdded, StudyPut, TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, measurement, study, trial

store = open_sql_store(sys.argv[1])
store.begin_epoch("one")
store.commit([StudyPut(study())], AT)
for number in range(1, int(sys.argv[2])):
    print(store.commit([TrialPut(trial(number)), MeasurementAdded(STUDY, measurement(number))], AT), flush=True)
"""

REFUSED = """
import sys
from searchd.domain.errors import StoreFull
from searchd.domain.facts import StudyPut, TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, study, trial

store = open_sql_store(sys.argv[1])
try:
    store.commit([StudyPut(study())], AT)
except StoreFull as error:
    assert store.revision() == 0
    assert store.commit([StudyPut(study()), TrialPut(trial())], AT) == 2
    assert store.trial(STUDY, 1) == trial()
    print(error)
"""


OPENING = """
import sys
from searchd.stores.sql import open_sql_store
open_sql_store(sys.argv[1]).close()
"""
"""Opens the store, which brings its database up to date."""


def child(script: str, *arguments: str, fault: str, log: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script in which a fault happens; that it happened is checked."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=os.environ | {"SEARCHD_FAILPOINTS": fault, "SEARCHD_FAILPOINTS_LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    happened = log.read_text() if log.exists() else ""
    assert happened.startswith(fault.split("@", maxsplit=1)[0].replace("=", " ")), done.stderr
    return done


@contextmanager
def opening_slowly(url: str, log: Path) -> Iterator[None]:
    """Another process opens the store and is held up in the middle of what it has to upgrade; it must succeed."""
    faults = {"SEARCHD_FAILPOINTS": "migration.step=sleep:0.5@2", "SEARCHD_FAILPOINTS_LOG": str(log)}
    with subprocess.Popen([sys.executable, "-c", OPENING, url], cwd=ROOT, env=os.environ | faults) as other:
        patience_ends = time.monotonic() + 30
        while not log.exists():
            assert time.monotonic() < patience_ends
            time.sleep(0.01)
        yield
    assert other.returncode == 0


class SqlFaultsContract:
    """The promises about faults, one test each."""

    def test_kill_loses_nothing_acknowledged(self, url: str) -> None:
        """After kill -9 in the middle of commits every acknowledged revision is there, and no batch in part."""
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTING, url, "1000000"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline()) for _ in range(50)]
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in process.stdout.read().splitlines()]
        assert process.returncode == -signal.SIGKILL
        store = open_sql_store(url)
        # The lock waits for a transaction that the server has not yet noticed to be nobody's.
        store.begin_epoch("two")
        revision = store.revision()
        (live,) = whole(store.live())
        events = store.events(0, None, 10**6)
        store.close()
        assert revision >= acknowledged[-1]
        assert revision % 2 == 1
        assert [e.revision for e in events] == list(range(1, revision + 1))
        assert [t.number for t in live.trials] == list(range(1, revision // 2 + 1))
        assert [m.trial for m in live.measurements] == [t.number for t in live.trials]

    @pytest.mark.parametrize(
        ("place", "written"), [("commit.begun", False), ("commit.written", False), ("commit.done", True)]
    )
    def test_kill_at_each_place_of_a_commit(self, url: str, tmp_path: Path, place: str, written: bool) -> None:
        """Killed before its end a commit leaves nothing behind, killed after it everything; the next writer goes on."""
        done = child(COMMITTING, url, "10", fault=f"{place}=kill@3", log=tmp_path / "faults")
        assert done.returncode == -signal.SIGKILL
        assert done.stdout.split() == ["3"]
        store = open_sql_store(url)
        assert store.begin_epoch("two") == 2
        assert store.revision() == (5 if written else 3)
        assert [t.number for t in store.trials(STUDY, None, 0, 10)] == ([1, 2] if written else [1])
        assert store.commit([TrialPut(trial(9))], AT) == store.revision()
        store.close()

    @pytest.mark.parametrize("place", ["commit.begun", "commit.written"])
    def test_refused_commit_leaves_nothing(self, url: str, tmp_path: Path, place: str) -> None:
        """When the disk refuses in the middle of a commit, it raises StoreFull, and the same commit works later."""
        done = child(REFUSED, url, fault=f"{place}=refuse", log=tmp_path / "faults")
        assert done.returncode == 0, done.stderr
        assert "No space left" in done.stdout
