"""What a context offers inside a worker."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchd.ports.engine import Report, Segment
from searchd.worker.checkpoint import Checkpoint, DamagedCheckpoint, identity, read_checkpoint, write_checkpoint
from searchd.worker.files import Storage
from searchd.worker.host import FoldRunHost, Loads, Surroundings
from searchd.worker.randomness import fold_run_seed, save_states, seed_everything
from tests.unit.worker.worker_harness import AT, Rows, a_segment, a_task

SEGMENT = a_segment(a_task("quadratic", epochs=5, depth=3), target=5, attempt=2)


class Counter:
    """Has state as torch's modules have."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def a_host(
    storage: Path, checkpoint: Checkpoint | None = None, rows: Rows | None = None, segment: Segment = SEGMENT
) -> FoldRunHost:
    return FoldRunHost(segment, Surroundings(rows or Rows(), Storage(storage), "cpu", Loads()), checkpoint)


def saved(host: FoldRunHost, epoch: int) -> Checkpoint:
    return Checkpoint(identity(SEGMENT), epoch, Report(epoch, {"loss": 1.0}, 0.1, AT), host.kept(), save_states())


def test_parameters_are_merged_with_the_fixed_ones(tmp_path: Path) -> None:
    """Both kinds are read alike, as attributes and as items, and an unknown one names those there are."""
    params = a_host(tmp_path).context().params
    assert (params.x, params["depth"], dict(params)) == (2.0, 3, {"depth": 3, "x": 2.0})
    assert params.get("momentum", 0.9) == 0.9
    with pytest.raises(AttributeError, match=r"no parameter 'momentum', only depth, x; \.get\(\) takes a default"):
        _ = params.momentum


def test_kept_objects_come_back_from_the_file(tmp_path: Path) -> None:
    """State goes back into the objects given, plain values into the answer, and epochs go on after the checkpoint."""
    host = a_host(tmp_path)
    context = host.context()
    counter, history = Counter(), [0.5]
    assert context.keep(counter=counter, history=history, best=1.0) == {
        "counter": counter,
        "history": history,
        "best": 1.0,
    }
    assert next(context.epochs()) == 1
    counter.count, history[:] = 7, [0.5, 0.25]
    context.keep(best=0.25)
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, saved(host, 3))
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]

    resumed = a_host(tmp_path, read_checkpoint(path, "cpu")).context()
    fresh = Counter()
    restored = resumed.keep(counter=fresh, history=[], best=None, added=1)
    assert fresh.count == 7
    assert restored == {"counter": fresh, "history": [0.5, 0.25], "best": 0.25, "added": 1}
    assert list(resumed.epochs()) == [4, 5]


def test_keep_restores_random_states(tmp_path: Path) -> None:
    """Python's and numpy's generators go on as if there had been no pause."""
    host = a_host(tmp_path)
    host.keep({"a": 1})
    seed_everything(3, "cpu")
    checkpoint = saved(host, 1)
    expected = (random.random(), np.random.random())
    seed_everything(4, "cpu")
    a_host(tmp_path, checkpoint).keep({"a": 1})
    assert (random.random(), np.random.random()) == expected


def test_torch_is_restored_as_well(tmp_path: Path) -> None:
    """With torch in the process, its modules and its generator come back from the file."""
    torch: Any = pytest.importorskip("torch")
    host, net = a_host(tmp_path), torch.nn.Linear(2, 1)
    host.keep({"net": net})
    write_checkpoint(tmp_path / "a.ckpt", saved(host, 1))
    expected, other = torch.rand(2), torch.nn.Linear(2, 1)
    torch.manual_seed(99)
    a_host(tmp_path, read_checkpoint(tmp_path / "a.ckpt", "cpu")).keep({"net": other})
    assert torch.equal(net.weight, other.weight)
    assert torch.equal(torch.rand(2), expected)


def test_a_loop_that_kept_nothing_before_starts_at_one(tmp_path: Path) -> None:
    """Without a keep before the loop nothing is restored, and a keep inside it only takes note."""
    host = a_host(tmp_path)
    host.keep({"at": 5})
    resumed = a_host(tmp_path, saved(host, 3))
    assert next(resumed.context().epochs()) == 1
    assert resumed.keep({"at": 1}) == {"at": 1}
    assert resumed.resumed == 0


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    """State that cannot be pickled raises, and the file before it is whole."""
    host, path = a_host(tmp_path), tmp_path / "a.ckpt"
    host.keep({"at": 5})
    write_checkpoint(path, saved(host, 1))
    host.keep({"at": lambda: None})
    with pytest.raises(Exception, match="pickle"):
        write_checkpoint(path, saved(host, 2))
    found = read_checkpoint(path, "cpu")
    assert found is not None
    assert found.epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


def test_no_file_and_no_checkpoint_are_told_apart(tmp_path: Path) -> None:
    """A missing file is None; one that makes no sense is damaged, with its path."""
    assert read_checkpoint(tmp_path / "a.ckpt", "cpu") is None
    (tmp_path / "a.ckpt").write_bytes(b"no pickle")
    with pytest.raises(DamagedCheckpoint, match=r"a\.ckpt"):
        read_checkpoint(tmp_path / "a.ckpt", "cpu")


def test_an_own_load_is_called_once_per_process(tmp_path: Path) -> None:
    """The same function and source are loaded once, also when the function is a lambda made anew for each trial."""
    loads = Loads()
    objects = [loads.get(lambda source: [source], source) for source in ("a", "b", "a", "b")]
    assert objects == [["a"], ["b"], ["a"], ["b"]]
    assert objects[0] is objects[2]
    assert objects[1] is objects[3]


def test_an_own_load_that_captures_a_variable_is_another_one(tmp_path: Path) -> None:
    """What a function captures may change what it returns, so only the very same function is not called again."""
    loads = Loads()

    def adding(suffix: str) -> Callable[[str | None], str]:
        return lambda source: f"{source}{suffix}"

    assert [loads.get(adding(suffix), "a") for suffix in ("x", "y")] == ["ax", "ay"]


def test_data_and_splits_come_from_the_provider(tmp_path: Path) -> None:
    """The dataset is the provider's, the split is by fold, and a study without data is told so."""
    rows = Rows()
    context = a_host(tmp_path, rows=rows).context()
    assert len(context.dataset()) == 20
    assert context.dataset(lambda source: source) == "digits"
    assert list(context.valid_index) == [0, 5, 10, 15]
    assert len(context.train_index) == 16
    none = a_host(tmp_path, segment=Segment(_without_data(), SEGMENT.trial, {}, 0, 0, 1, 1)).context()
    with pytest.raises(RuntimeError, match=r"ctx.train_index needs a dataset .*; add `dataset` to the study"):
        _ = none.train_index


def _without_data() -> Any:
    task = SEGMENT.task
    return type(task)(task.study, task.trainable, {}, None, "", task.evaluation, 7, task.metrics)


def test_artifacts_lie_under_the_fold_run(tmp_path: Path) -> None:
    """The folder of an artifact exists when its path is handed out."""
    path = a_host(tmp_path).context().artifact("plots/confusion.json")
    assert path == tmp_path / "artifacts/projects/default/studies/digits/1/0-0/plots/confusion.json"
    assert path.parent.is_dir()


def test_seeds_are_stable_and_differ() -> None:
    """The seed of a fold run never changes between versions, and every part of its identity matters."""
    assert fold_run_seed(7, 1, 0, 0) == 2045353133
    seeds = {fold_run_seed(s, t, r, f) for s in (1, 2) for t in (1, 2, 11) for r in (0, 1) for f in (0, 1)}
    assert len(seeds) == 24
    assert all(0 <= seed < 2**31 for seed in seeds)
