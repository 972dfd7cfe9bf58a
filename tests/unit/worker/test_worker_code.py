"""A study is trained with the code that it was created with, or not at all."""

import pickle
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from searchd.domain.errors import TrainableNotFound
from searchd.domain.failure import Failure
from searchd.ports.engine import Outcome, PoolKey
from searchd.worker.catalog import SubprocessCatalog
from searchd.worker.loading import CodeChanged, Trainables
from searchd.worker.messages import WorkerSettings
from searchd.worker.sources import fingerprint, source_files
from searchd.worker.worker import Worker
from tests.unit.worker.worker_harness import Rows, StoppedClock, a_segment, a_task, losses, running, settings

MODULE = """
    from searchd.trainable import trainable

    @trainable(metrics={"loss": "minimize"}, space={})
    def changeling(ctx):
        for _ in ctx.epochs():
            yield {"loss": LOSS}
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Path]:
    """A module whose trainable reports 1.0."""
    file = tmp_path / "changeling_module.py"
    write(file, 1.0)
    yield file
    sys.modules.pop(file.stem, None)


def write(file: Path, loss: float) -> None:
    file.write_text(textwrap.dedent(MODULE).replace("LOSS", str(loss)))


def catalog(file: Path) -> SubprocessCatalog:
    return SubprocessCatalog([file.stem], [str(file.parent)], installed=False)


def worker(told: WorkerSettings) -> Worker:
    return Worker(told, Rows(), StoppedClock())


def test_a_worker_trains_the_code_that_the_card_tells_of(module: Path, tmp_path: Path) -> None:
    """The catalog and the worker agree on the fingerprint of the same files."""
    told = settings(tmp_path, module=module)
    told = replace(told, pool=PoolKey(catalog(module).cards()["changeling"].code, told.pool.resources))
    worker(told).prepare()
    with running(tmp_path, told=told) as server:
        [(reports, _)] = server.run(a_segment(a_task("changeling")))
    assert losses(reports) == {1: 1.0}


def test_a_worker_that_comes_too_late_does_not_begin(module: Path, tmp_path: Path) -> None:
    """Started for code that is no longer there it says so before it takes work; what it gets nevertheless fails."""
    told = settings(tmp_path, module=module)
    write(module, 2.0)
    late = worker(told)
    with pytest.raises(CodeChanged) as changed:
        late.prepare()
    assert changed.value.expected == told.pool.code
    assert changed.value.found == (fingerprint([module]),)
    assert module.stem not in sys.modules
    with running(tmp_path, told=told) as server:
        [(reports, ended)] = server.run(a_segment(a_task("changeling")))
    assert reports == []
    assert (ended.outcome, ended.failure) == (Outcome.FAILED, Failure.ERROR)
    assert told.pool.code in ended.reason
    assert fingerprint([module]) in ended.reason


def test_a_worker_that_has_begun_goes_on(module: Path, tmp_path: Path) -> None:
    """What was imported in time stays what it is, whatever becomes of its file."""
    told = settings(tmp_path, module=module)
    with running(tmp_path, told=told) as server:
        [(before, _)] = server.run(a_segment(a_task("changeling"), trial=1))
        write(module, 2.0)
        [(after, _)] = server.run(a_segment(a_task("changeling"), trial=2))
        module.unlink()
        [(gone, _)] = server.run(a_segment(a_task("changeling"), trial=3))
    assert losses(before) == losses(after) == losses(gone) == {1: 1.0}


def test_files_put_back_are_found_again(module: Path, tmp_path: Path) -> None:
    """A worker that refused a study takes it once the files are those of the study."""
    told = settings(tmp_path, module=module)
    write(module, 2.0)
    with running(tmp_path, told=told) as server:
        [(_, refused)] = server.run(a_segment(a_task("changeling"), trial=1))
        write(module, 1.0)
        [(reports, _)] = server.run(a_segment(a_task("changeling"), trial=2))
    assert refused.failure is Failure.ERROR
    assert losses(reports) == {1: 1.0}


def test_a_file_that_is_saved_during_its_import_is_not_trusted(module: Path) -> None:
    """Nobody knows which of the two versions was imported, so neither is run."""
    with module.open("a") as file:
        file.write(f"\nfrom pathlib import Path\nPath({str(module)!r}).write_text('# saved anew')\n")
    code = fingerprint([module])
    trainables = Trainables(code, [module.stem], installed=False)
    sys.path.insert(0, str(module.parent))
    try:
        with pytest.raises(CodeChanged, match=code):
            trainables.prepare()
        with pytest.raises(CodeChanged, match=code):
            trainables.load("changeling")
    finally:
        sys.path.remove(str(module.parent))
    assert module.read_text() == "# saved anew"


def test_only_the_pools_own_module_is_imported(module: Path, tmp_path: Path) -> None:
    """Other modules cost a worker no time and cannot break it; their trainables are not its own."""
    (tmp_path / "unrelated_module.py").write_text("raise RuntimeError('never imported')")
    told = settings(tmp_path, module=module)
    told = replace(told, modules=("unrelated_module", *told.modules))
    with running(tmp_path, told=told) as server:
        [(reports, _)] = server.run(a_segment(a_task("changeling")))
    assert losses(reports) == {1: 1.0}
    assert "unrelated_module" not in sys.modules


@pytest.mark.parametrize(
    ("text", "reason"),
    [("raise RuntimeError('broken here')", "RuntimeError: broken here"), ("import sys; sys.exit(3)", "SystemExit: 3")],
)
def test_a_module_that_cannot_be_imported_fails_its_segments(tmp_path: Path, text: str, reason: str) -> None:
    """Code that is the expected one and does not work on this node is an error with its own words, every time."""
    file = tmp_path / "unimportable_module.py"
    file.write_text(text)
    told = settings(tmp_path, module=file)
    worker(told).prepare()
    with running(tmp_path, told=told) as server:
        ends = [ended for _, ended in server.run(*(a_segment(a_task("any"), trial=trial) for trial in (1, 2)))]
    assert [(ended.outcome, ended.failure) for ended in ends] == [(Outcome.FAILED, Failure.ERROR)] * 2
    assert all(reason in ended.reason for ended in ends)
    assert "unimportable_module.py" in ends[0].log_tail


def test_a_name_that_the_module_does_not_register(module: Path) -> None:
    """Loading says which names there are."""
    trainables = Trainables(fingerprint([module]), [module.stem], installed=False)
    sys.path.insert(0, str(module.parent))
    try:
        with pytest.raises(TrainableNotFound) as missing:
            trainables.load("unheard_of")
    finally:
        sys.path.remove(str(module.parent))
    assert "changeling" in missing.value.known


def test_installed_trainables_are_known_by_their_code() -> None:
    """An installed module is found by its fingerprint like any other, without importing the others."""
    code = fingerprint(source_files("trainables.sklearn_classifier"))
    with pytest.raises(CodeChanged):
        Trainables(code, [], installed=False).prepare()
    trainables = Trainables(code, [], installed=True)
    trainables.prepare()
    assert trainables.load("sklearn_classifier").name == "sklearn_classifier"


def test_the_error_survives_pickling() -> None:
    """It crosses processes with all that it says."""
    error = CodeChanged("aaaaaaaaaaaa", ["bbbbbbbbbbbb", "cccccccccccc"])
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.expected, copy.found, str(copy)) == (error.expected, error.found, str(error))
    assert "created with aaaaaaaaaaaa, found is bbbbbbbbbbbb and cccccccccccc" in str(copy)
