"""What SQLite keeps when the process is killed or the disk is full; each in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

from searchd.domain.facts import TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, trial

ROOT = Path(__file__).parents[2]

COMMITTING = """
import sys
from searchd.domain.facts import MeasurementAdded, StudyPut, TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, measurement, study, trial

store = open_sql_store(sys.argv[1])
store.commit([StudyPut(study())], AT)
number = 0
while True:
    number += 1
    print(store.commit([TrialPut(trial(number)), MeasurementAdded(STUDY, measurement(number))], AT), flush=True)
"""

FILLING = """
import resource, sys
from searchd.domain.errors import StoreUnavailable
from searchd.domain.facts import StudyPut, TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, study, trial

store = open_sql_store(sys.argv[1])
store.commit([StudyPut(study())], AT)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
acknowledged = 1
try:
    while True:
        acknowledged = store.commit([TrialPut(trial(acknowledged, log_tail="x" * 10_000))], AT)
except StoreUnavailable as error:
    assert len(store.trials(STUDY, None, 0, 1000)) == acknowledged - 1
    assert store.commit([], AT) == acknowledged
    print(acknowledged, error)
"""


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """After kill -9 in the middle of commits every acknowledged revision is there, and no batch is there in part."""
    url = f"sqlite:///{tmp_path}/s.db"
    with subprocess.Popen(
        [sys.executable, "-c", COMMITTING, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(100)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines()]
    assert process.returncode == -signal.SIGKILL
    store = open_sql_store(url)
    revision = store.revision()
    (live,) = store.live()
    events = store.events(0, None, 10**6)
    store.close()
    assert revision >= acknowledged[-1]
    assert revision % 2 == 1
    assert [e.revision for e in events] == list(range(1, revision + 1))
    assert [t.number for t in live.trials] == list(range(1, revision // 2 + 1))
    assert [m.trial for m in live.measurements] == [t.number for t in live.trials]


def test_full_disk_refuses_and_keeps_the_rest(tmp_path: Path) -> None:
    """When the files can grow no further, commits are refused, reads go on, and with room again so do commits."""
    url = f"sqlite:///{tmp_path}/s.db"
    done = subprocess.run(
        [sys.executable, "-c", FILLING, url], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    acknowledged = int(done.stdout.split()[0])
    assert acknowledged > 10
    store = open_sql_store(url)
    assert store.revision() == acknowledged
    assert len(store.trials(STUDY, None, 0, 1000)) == acknowledged - 1
    assert store.commit([TrialPut(trial(1000))], AT) == acknowledged + 1
    store.close()
