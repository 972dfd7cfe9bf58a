"""What is kept of a fold run, in every kind of store, and what damage does to it."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchd.domain.errors import InvalidArgument
from searchd.ports.engine import Report
from searchd.worker.checkpoint import Checkpoint, FoldRunCheckpoints
from searchd.worker.checkpoint_store import CheckpointStore, checkpoint_store
from searchd.worker.manifest import DamagedCheckpoint, Manifest, decoded
from tests.unit.worker.stores import FaultyObjects, object_store
from tests.unit.worker.worker_harness import AT, a_segment, a_task

KEY = a_segment(a_task("quadratic")).key
FOLDER = f"{KEY.study}/{KEY.trial}/{KEY.repeat}-{KEY.fold}"


@pytest.fixture(params=["folder", "file://"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The root of a store whose files a test can lay hands on below ``tmp_path``."""
    return str(tmp_path) if request.param == "folder" else f"file://{tmp_path}"


@pytest.fixture
def store(root: str) -> CheckpointStore:
    return checkpoint_store(root)


@pytest.fixture(params=["pickle", "torch"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether torch is in the process, which then writes and reads the state."""
    name: str = request.param
    if name == "torch":
        pytest.importorskip("torch")
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    return name


def a_checkpoint(epoch: int, state: Any = "state", belongs_to: str = "me") -> Checkpoint:
    return Checkpoint(belongs_to, Report(epoch, {"loss": 1.0 / epoch}, 0.25, AT), state, b"random")


def checkpoints(store: CheckpointStore) -> FoldRunCheckpoints:
    """As a worker that has not seen them yet has them."""
    return FoldRunCheckpoints(store, KEY, "cpu")


def found(store: CheckpointStore, belongs_to: str = "me") -> tuple[Checkpoint | None, list[str]]:
    """What another worker finds, and what it notes."""
    notes: list[str] = []
    return checkpoints(store).newest(belongs_to, notes.append), notes


def test_a_checkpoint_comes_back_equal(store: CheckpointStore, form: str) -> None:
    """All of it comes back, a metric that is no finite number too."""
    saved = a_checkpoint(3, {"weights": [0.1 + 0.2]})
    saved.report.metrics.update(odd=float("inf"), low=float("-inf"))  # type: ignore[attr-defined]
    checkpoints(store).save(saved, 1)
    assert list(decoded_manifest(store).files) == ["state.pt" if form == "torch" else "state.pickle"]
    assert found(store) == (saved, [])


def decoded_manifest(store: CheckpointStore) -> Manifest:
    [name] = store.folders(FOLDER)
    with store.open(f"{FOLDER}/{name}/manifest.json") as file:
        return decoded(file.read())


def test_the_newest_and_the_one_before_are_kept(store: CheckpointStore) -> None:
    """Of many that one worker writes two stay; the next attempt goes on so."""
    first = checkpoints(store)
    for epoch in (1, 2, 3):
        first.save(a_checkpoint(epoch), 1)
    assert sorted(store.folders(FOLDER)) == ["2-1", "3-1"]
    second = checkpoints(store)
    assert second.newest("me", print) == a_checkpoint(3)
    second.save(a_checkpoint(12), 2)
    assert sorted(store.folders(FOLDER)) == ["12-2", "3-1"]
    assert found(store) == (a_checkpoint(12), [])


def cut_state(folder: Path) -> None:
    file = next(folder.glob("state.*"))
    file.write_bytes(file.read_bytes()[:-3])


def change_state(folder: Path) -> None:
    file = next(folder.glob("state.*"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lose_state(folder: Path) -> None:
    next(folder.glob("state.*")).unlink()


def cut_manifest(folder: Path) -> None:
    content = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(content[: len(content) // 2])


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


def change_manifest(folder: Path) -> None:
    content = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(content.replace('"seconds": 0.25', '"seconds": 0.75'))


DAMAGES = [
    (cut_state, "bytes, not"),
    (change_state, "has been changed"),
    (lose_state, "is missing"),
    (cut_manifest, "manifest.json cannot be read"),
    (empty_manifest, "manifest.json cannot be read"),
    (change_manifest, "manifest.json has been changed"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_damaged_one_costs_the_epochs_since_the_one_before(
    store: CheckpointStore, form: str, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    """Whatever is wrong with the newest, the one before is taken, and the log says why and what it costs."""
    written = checkpoints(store)
    for epoch in (4, 9):
        written.save(a_checkpoint(epoch), 1)
    damage(tmp_path / FOLDER / "9-1")
    checkpoint, notes = found(store)
    assert checkpoint == a_checkpoint(4)
    assert len(notes) == 2
    assert notes[0].startswith("searchd: the checkpoint of epoch 9 is damaged: ")
    assert reason in notes[0]
    assert notes[1] == "searchd: going on from the checkpoint of epoch 4; 5 epochs are trained again"


def test_when_both_are_damaged_it_starts_over(store: CheckpointStore, tmp_path: Path) -> None:
    """There is nothing to go on from, the log says so, and what is written next replaces them."""
    written = checkpoints(store)
    for epoch in (4, 9):
        written.save(a_checkpoint(epoch), 1)
    cut_state(tmp_path / FOLDER / "9-1")
    cut_manifest(tmp_path / FOLDER / "4-1")
    notes: list[str] = []
    again = checkpoints(store)
    assert again.newest("me", notes.append) is None
    assert [note.split(":")[1] for note in notes[:2]] == [
        " the checkpoint of epoch 9 is damaged",
        " the checkpoint of epoch 4 is damaged",
    ]
    assert notes[2] == "searchd: starting over; 9 epochs are trained again"
    again.save(a_checkpoint(1), 2)
    assert list(store.folders(FOLDER)) == ["1-2"]


def test_without_a_manifest_there_is_none(store: CheckpointStore, tmp_path: Path) -> None:
    """What a crash left without its manifest is not mentioned, and goes with the next one."""
    written = checkpoints(store)
    for epoch in (4, 9):
        written.save(a_checkpoint(epoch), 1)
    (tmp_path / FOLDER / "9-1/manifest.json").unlink()
    assert found(store) == (a_checkpoint(4), [])
    again = checkpoints(store)
    again.newest("me", print)
    again.save(a_checkpoint(10), 2)
    assert sorted(store.folders(FOLDER)) == ["10-2", "4-1"]


class Trap:
    """Leaves a trace when it is unpickled."""

    sprung = 0

    def __reduce__(self) -> tuple[Callable[..., None], tuple[()]]:
        return spring, ()


def spring() -> None:
    Trap.sprung += 1


def test_nothing_is_unpickled_that_was_not_written(store: CheckpointStore, tmp_path: Path) -> None:
    """A state file that somebody has replaced is refused by its digest, before any of it is run."""
    written = checkpoints(store)
    written.save(a_checkpoint(1, Trap()), 1)
    Trap.sprung = 0
    assert found(store)[0] is not None
    assert Trap.sprung == 1
    written.save(a_checkpoint(2), 1)
    file = next((tmp_path / FOLDER / "2-1").glob("state.*"))
    file.write_bytes(pickle.dumps({"state": Trap(), "random": b""}))
    assert found(store)[0] is not None
    assert Trap.sprung == 2  # by the one before


class Unreadable:
    """Cannot be restored: in the way that its argument says."""

    def __init__(self, how: type[BaseException]) -> None:
        self.how = how

    def __reduce__(self) -> tuple[Callable[..., None], tuple[type[BaseException]]]:
        return raising, (self.how,)


def raising(how: type[BaseException]) -> None:
    raise how("no")


def test_what_cannot_be_unpickled_is_damaged(store: CheckpointStore, form: str) -> None:
    """A state whose class no longer takes it is passed over."""
    written = checkpoints(store)
    written.save(a_checkpoint(1), 1)
    written.save(a_checkpoint(2, Unreadable(AttributeError)), 1)
    checkpoint, notes = found(store)
    assert checkpoint == a_checkpoint(1)
    assert "AttributeError: no" in notes[0]


def test_a_lack_of_memory_is_no_damage(store: CheckpointStore, form: str) -> None:
    """A checkpoint that finds no memory is not given up for an older one."""
    written = checkpoints(store)
    written.save(a_checkpoint(1), 1)
    written.save(a_checkpoint(2, Unreadable(MemoryError)), 1)
    with pytest.raises(MemoryError):
        found(store)


def test_a_state_that_cannot_be_pickled_leaves_nothing(store: CheckpointStore, form: str) -> None:
    """The error is raised, and the one before is as it was."""
    written = checkpoints(store)
    written.save(a_checkpoint(1), 1)
    with pytest.raises(Exception, match="pickle"):
        written.save(a_checkpoint(2, lambda: None), 1)
    assert list(store.folders(FOLDER)) == ["1-1"]
    assert found(store) == (a_checkpoint(1), [])


def test_an_older_attempt_spoils_nothing(store: CheckpointStore) -> None:
    """A worker that was given up and still trains deletes nothing of the attempt that replaced it."""
    old, new = checkpoints(store), checkpoints(store)
    old.save(a_checkpoint(1), 1)
    new.newest("me", print)
    new.save(a_checkpoint(2), 2)
    new.save(a_checkpoint(3), 2)
    for epoch in (5, 6, 7):
        old.save(a_checkpoint(epoch), 1)
    assert {"2-2", "3-2"} < set(store.folders(FOLDER))
    new.save(a_checkpoint(4), 2)
    assert sorted(store.folders(FOLDER)) == ["3-2", "4-2"]


def test_those_of_something_else_are_passed_over(store: CheckpointStore) -> None:
    """What an earlier study of the same name left is not taken, however new it looks."""
    checkpoints(store).save(a_checkpoint(9, belongs_to="somebody else"), 7)
    checkpoints(store).save(a_checkpoint(1), 1)
    checkpoint, notes = found(store)
    assert checkpoint == a_checkpoint(1)
    assert notes == ["searchd: the checkpoint of epoch 9 is passed over: it is of another configuration"]


def test_strange_names_are_left_alone(store: CheckpointStore, tmp_path: Path) -> None:
    """Folders that are no checkpoints are neither read nor deleted."""
    (tmp_path / FOLDER / "lost+found").mkdir(parents=True)
    checkpoints(store).save(a_checkpoint(1), 1)
    assert found(store) == (a_checkpoint(1), [])
    assert sorted(store.folders(FOLDER)) == ["1-1", "lost+found"]


@pytest.mark.parametrize("fault", ["full", "cut"])
@pytest.mark.parametrize("after", [0, 1, 100, 300])
def test_an_object_store_that_fails_within_an_object(form: str, fault: str, after: int) -> None:
    """Refused or silently cut off anywhere in a state or a manifest, the one before is found."""
    objects = FaultyObjects()
    store = object_store(objects)
    written = checkpoints(store)
    written.save(a_checkpoint(4, "x" * 200), 1)
    objects.fault, objects.after = fault, after
    if fault == "full":
        with pytest.raises(OSError, match="No space left"):
            written.save(a_checkpoint(9, "x" * 200), 1)
    else:
        written.save(a_checkpoint(9, "x" * 200), 1)
    assert objects.happened
    checkpoint, notes = found(store)
    assert checkpoint == a_checkpoint(4, "x" * 200)
    assert len(notes) == (0 if fault == "full" else 2)


def test_a_manifest_alone_is_refused(tmp_path: Path) -> None:
    """An object store that failed between the two leaves no checkpoint; one that is whole again takes the next."""
    objects = FaultyObjects()
    store = object_store(objects)
    written = checkpoints(store)
    written.save(a_checkpoint(4), 1)
    written.save(a_checkpoint(9), 1)
    for path in [path for path in objects.store if "/9-1/state" in path]:
        objects.rm(path)
    assert found(store)[0] == a_checkpoint(4)
    written.save(a_checkpoint(10), 1)
    assert found(store)[0] == a_checkpoint(10)


def test_storage_out_of_reach_costs_no_checkpoint() -> None:
    """What could not be read is passed over and not deleted: a later attempt finds it again."""
    objects = FaultyObjects()
    store = object_store(objects)
    checkpoints(store).save(a_checkpoint(9), 1)
    second = checkpoints(store)
    notes: list[str] = []
    objects.fault = "unreachable"
    assert second.newest("me", notes.append) is None
    assert objects.happened
    assert notes == [
        "searchd: the checkpoint of epoch 9 cannot be read: [Errno 5] the network is down",
        "searchd: starting over; 9 epochs are trained again",
    ]
    objects.fault = None
    for epoch in (1, 2, 3):
        second.save(a_checkpoint(epoch), 2)
    assert found(store)[0] == a_checkpoint(9)


def test_a_root_that_cannot_be_listed_is_noted(tmp_path: Path) -> None:
    """Storage that refuses even to list is said to, and the fold run starts over."""
    (tmp_path / "file").touch()
    checkpoint, notes = found(checkpoint_store(str(tmp_path / "file")))
    assert checkpoint is None
    assert notes[0].startswith(f"searchd: the checkpoints in {tmp_path}/file cannot be listed: ")


def test_one_failed_listing_costs_no_checkpoint(tmp_path: Path) -> None:
    """An attempt that could not see what there was starts over, and leaves what it did not see for the next one."""
    root = tmp_path / "checkpoints"
    first = FoldRunCheckpoints(checkpoint_store(str(root)), KEY, "cpu")
    for epoch in (89, 90):
        first.save(a_checkpoint(epoch), 1)
    blind = FoldRunCheckpoints(checkpoint_store(str(root)), KEY, "cpu")
    notes: list[str] = []
    root.rename(tmp_path / "away")
    root.touch()
    assert blind.newest("me", notes.append) is None
    assert "cannot be listed" in notes[0]
    root.unlink()
    (tmp_path / "away").rename(root)
    for epoch in (1, 2, 3):
        blind.save(a_checkpoint(epoch), 2)
    assert found(checkpoint_store(str(root)))[0] == a_checkpoint(90)


def test_a_store_is_named_without_its_secrets(tmp_path: Path) -> None:
    """As text a store is its root, without the credentials that a URI may hold."""
    assert str(checkpoint_store(str(tmp_path))) == str(tmp_path)
    assert str(checkpoint_store(f"file://{tmp_path}/a/")) == f"file://{tmp_path}/a"
    assert str(checkpoint_store("s3://key:secret@bucket/a?region=nowhere")) == "s3://bucket/a"


@pytest.mark.parametrize("uri", ["gopher://hole/folder", "file://", "s3://"])
def test_a_uri_that_makes_no_sense_is_refused(uri: str) -> None:
    """A scheme that nobody knows, or a URI without a place in it, is an invalid argument."""
    with pytest.raises(InvalidArgument, match="give a folder, or a URI such as") as refused:
        checkpoint_store(uri)
    assert refused.value.field == "checkpoints"


def test_a_manifest_of_another_format_is_refused() -> None:
    """What a later version wrote is damaged to this one, and says so."""
    content = json.loads(Manifest("me", a_checkpoint(1).report, {}).encoded())
    assert content["format"] == 1
    with pytest.raises(DamagedCheckpoint, match="changed"):
        decoded(json.dumps({**content, "format": 2}).encode())
    with pytest.raises(DamagedCheckpoint, match="cannot be read"):
        decoded(b"[]")


def test_ray_opens_a_checkpoint(root: str, store: CheckpointStore, tmp_path: Path) -> None:
    """Each is a folder that ray.train.Checkpoint opens, its files being the state and the manifest."""
    import pyarrow.fs
    from ray.train import Checkpoint as RayCheckpoint

    checkpoints(store).save(a_checkpoint(3), 1)
    files, path = pyarrow.fs.FileSystem.from_uri(tmp_path.as_uri())
    with RayCheckpoint(f"{path}/{FOLDER}/3-1", files).as_directory() as folder:
        assert_is_whole(Path(folder))


def test_ray_opens_a_checkpoint_in_an_object_store() -> None:
    """From an object store Ray downloads the same files."""
    import pyarrow.fs
    from ray.train import Checkpoint as RayCheckpoint

    objects = FaultyObjects()
    checkpoints(object_store(objects)).save(a_checkpoint(3), 1)
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(objects))
    with RayCheckpoint(f"/bucket/checkpoints/{FOLDER}/3-1", files).as_directory() as folder:
        assert_is_whole(Path(folder))


def assert_is_whole(folder: Path) -> None:
    names = sorted(name for name in (path.name for path in folder.iterdir()) if not name.startswith("."))
    assert names[0] == "manifest.json"
    assert decoded((folder / "manifest.json").read_bytes()).files.keys() == set(names[1:])
