"""What SQLite keeps when the process is killed or its files can grow no further; each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from searchd.domain.facts import TrialPut
from searchd.stores.sql import open_sql_store
from tests.contracts.makers import AT, STUDY, trial
from tests.contracts.sql_faults import ROOT, SqlFaultsContract

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


class TestSqliteFaults(SqlFaultsContract):
    """The store in SQLite keeps what it has acknowledged."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        """Of a database that does not exist yet."""
        return f"sqlite:///{tmp_path}/s.db"


def test_file_that_cannot_grow_keeps_what_it_has(tmp_path: Path) -> None:
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
