"""What a context offers inside a worker."""

import gc
import itertools
import os
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchd.datasets import DataChanged, DatasetCache
from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset
from searchd.ports.engine import Report, Segment
from searchd.worker.checkpoint import Checkpoint, FoldRunCheckpoints, identity
from searchd.worker.checkpoint_store import SharedFolder
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
    return Checkpoint(identity(SEGMENT), Report(epoch, {"loss": 1.0}, 0.1, AT), host.kept(), save_states())


def stored(folder: Path, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as another worker reads it."""
    written, read = (FoldRunCheckpoints(SharedFolder(folder), SEGMENT.key, "cpu") for _ in range(2))
    written.save(checkpoint, 1)
    found = read.newest(checkpoint.identity, print)
    assert found is not None
    return found


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
    resumed = a_host(tmp_path, stored(tmp_path, saved(host, 3))).context()
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
    checkpoint = stored(tmp_path, saved(host, 1))
    expected, other = torch.rand(2), torch.nn.Linear(2, 1)
    torch.manual_seed(99)
    a_host(tmp_path, checkpoint).keep({"net": other})
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


def test_what_a_checkpoint_brought_is_let_go_of_when_the_loop_begins(tmp_path: Path) -> None:
    """A restored state takes no memory beside the objects that it went into."""
    host = a_host(tmp_path)
    host.keep({"counter": Counter()})
    checkpoint = saved(host, 3)
    resumed = a_host(tmp_path, checkpoint)
    context = resumed.context()
    context.keep(counter=Counter())
    assert checkpoint in gc.get_referents(resumed)
    assert next(context.epochs()) == 4
    assert checkpoint not in gc.get_referents(resumed)


def test_an_own_load_is_called_once_per_process(tmp_path: Path) -> None:
    """The same function and source are loaded once, also when the function is a lambda made anew for each trial."""
    loads = Loads()
    objects = [loads.get(lambda source: [source], source, "", unchanged) for source in ("a", "b", "a", "b")]
    assert objects == [["a"], ["b"], ["a"], ["b"]]
    assert objects[0] is objects[2]
    assert objects[1] is objects[3]


def test_an_own_load_that_captures_a_variable_is_another_one(tmp_path: Path) -> None:
    """What a function captures may change what it returns, so only the very same function is not called again."""
    loads = Loads()

    def adding(suffix: str) -> Callable[[str | None], str]:
        return lambda source: f"{source}{suffix}"

    assert [loads.get(adding(suffix), "a", "", unchanged) for suffix in ("x", "y")] == ["ax", "ay"]


def test_an_own_load_of_changed_data_is_another_one(tmp_path: Path) -> None:
    """What was loaded of other data under the same path is kept apart, and the data is looked at around each load."""
    loads, looks = Loads(), itertools.count()
    values = [
        loads.get(lambda source: [source], "a.csv", data, lambda: next(looks)) for data in ("old", "new", "old", "new")
    ]
    assert values[0] is values[2]
    assert values[0] is not values[1]
    assert next(looks) == 4


@pytest.mark.parametrize("asked", ["dataset", "own load", "split"])
def test_data_that_has_changed_is_not_given_out(tmp_path: Path, asked: str) -> None:
    """A dataset with another fingerprint than the study's is refused, however the trainable asks for it."""
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n")
    cache, dataset = DatasetCache(tmp_path / "cache", (tmp_path,)), Dataset(uri="t.csv", target="y")
    task = replace(SEGMENT.task, dataset=dataset, data=cache.load(dataset).fingerprint, evaluation=Evaluation(folds=2))
    segment = replace(SEGMENT, task=task)

    def ask() -> Any:
        surroundings = Surroundings(cache, Storage(tmp_path), "cpu", Loads())
        context = FoldRunHost(segment, surroundings, None).context()
        match asked:
            case "dataset":
                return context.dataset()
            case "own load":
                return context.dataset(lambda source: source)
            case _:
                return context.train_index

    assert ask() is not None
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,u\n3,4,v\n5,6,u\n7,9,v\n")
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    with pytest.raises(DataChanged) as changed:
        ask()
    assert changed.value.expected == task.data
    assert changed.value.found == cache.load(dataset).fingerprint
    copy = pickle.loads(pickle.dumps(changed.value))
    assert str(copy) == str(changed.value)
    assert copy.expected in str(copy)
    assert copy.found in str(copy)


def unchanged() -> None:
    """Nothing has changed."""


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
