"""Fine-tuning: what is inherited, what is not, and what cannot be; run as a worker runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from searchd.domain.evaluation import TEST_FOLD, Evaluation
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from searchd.worker.model_files import outputs
from tests.unit.trainables.digits import paused_everywhere
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import sklearn_classifier, torch_cnn, torch_mlp, torch_sequence
from trainables.fine_tune import DEFAULT, some
from trainables.torch_architectures import NETWORK
from trainables.torch_training import WEIGHTS

REGISTERED = (sklearn_classifier, torch_cnn, torch_mlp, torch_sequence)
FOLDS = Evaluation(folds=3, epochs=3)
SMALL: dict[str, dict[str, Any]] = {
    "torch_cnn": {"channels": 8, "lr": 1e-2},
    "torch_mlp": {"width": 16, "layers": 3, "lr": 1e-2, "residual": True},
    "torch_sequence": {"width": 16, "layers": 2, "lr": 1e-2},
}
FAST = {"lr": 1e-2, "batch_size": 40}
STILL = {**FAST, "lr": 0.0, "weight_decay": 0.0}


def digits(folder: Path, name: str, classes: range, size: int = 8) -> Dataset:
    """Some images of these digits, in a file of the folder."""
    pixels, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(np.isin(labels, classes))[:150]
    np.savez(folder / name, X=pixels[rows].reshape(-1, 8, 8)[:, :size], y=labels[rows].astype(np.int64))
    return Dataset(uri=name)


def numbers(folder: Path, columns: int = 4) -> Dataset:
    """A table of numbers, and numbers to predict."""
    table = np.random.default_rng(0).normal(size=(60, columns))
    np.savez(folder / "numbers.npz", X=table, y=table[:, 0] * 100 + 5)
    return Dataset(uri="numbers.npz")


def trained(folder: Path, trainable: str, dataset: Dataset) -> FoldRuns:
    """A parent that has been trained on its first fold."""
    runs = FoldRuns(folder, trainable, dataset, FOLDS, metric="loss")
    runs.scores(SMALL[trainable])
    return runs


def child(folder: Path, parent: FoldRuns, dataset: Dataset, *, same_rows: bool = False, epochs: int = 3) -> FoldRuns:
    """A study of fine-tuning on top of it."""
    evaluation = Evaluation(folds=3, epochs=epochs)
    heritage = parent.heritage(params={}, same_rows=same_rows)
    return FoldRuns(folder, "fine_tune", dataset, evaluation, metric="loss", heritage=heritage)


def left(runs: FoldRuns) -> dict[str, torch.Tensor]:
    """The weights that a fold run has left."""
    found: dict[str, torch.Tensor] = torch.load(runs.file(WEIGHTS), weights_only=True)
    return found


def refused(runs: FoldRuns, params: dict[str, Any]) -> str:
    """Why a fold run failed."""
    _, ended = runs.advance(params)
    assert ended.outcome is Outcome.FAILED
    return ended.reason


@pytest.fixture
def low(tmp_path: Path) -> Dataset:
    """Digits from 0 to 4."""
    return digits(tmp_path, "low.npz", range(5))


@pytest.fixture
def high(tmp_path: Path) -> Dataset:
    """Digits from 5 to 9."""
    return digits(tmp_path, "high.npz", range(5, 10))


def test_card_tells_what_it_takes() -> None:
    """It is registered with a default that holds its space, checkpoints and folds; a file of weights is as good as a
    parent, so it needs none."""
    card = registered()["fine_tune"]
    assert (card.default, card.checkpoints, card.folds, card.parent) == (DEFAULT, True, True, False)
    assert set(card.space.names()) <= set(DEFAULT)


@pytest.mark.parametrize("trainable", sorted(SMALL))
def test_the_same_classes_go_on_where_the_parent_ended(tmp_path: Path, low: Dataset, trainable: str) -> None:
    """With a learning rate of 0 the parent's network gives the parent's scores, and leaves the parent's weights."""
    parent = FoldRuns(tmp_path, trainable, low, FOLDS)
    for fold in (0, 1):
        *_, last = parent.scores(SMALL[trainable], fold=fold)
        runs = child(tmp_path, parent, low, same_rows=True)
        frozen = {**STILL, "frozen": 9}
        first, *_ = runs.scores(frozen, fold=fold)
        assert first["accuracy"] == last["accuracy"]
        assert first["loss"] == pytest.approx(last["loss"], rel=1e-6)
    assert runs.artifact(NETWORK) == parent.artifact(NETWORK)


@pytest.mark.parametrize("trainable", sorted(SMALL))
def test_other_classes_get_a_fresh_head(tmp_path: Path, low: Dataset, high: Dataset, trainable: str) -> None:
    """For other classes, as many as the parent's, all is inherited but the head; the card of the network says so."""
    parent = trained(tmp_path, trainable, low)
    runs = child(tmp_path, parent, high)
    runs.scores({**STILL, "frozen": 9})
    theirs, own = left(parent), left(runs)
    differ = {name for name in own if not torch.equal(own[name], theirs[name])}
    head = [name for name in own if name.rsplit(".", 1)[0] == list(own)[-1].rsplit(".", 1)[0]]
    assert differ == set(head)
    assert runs.artifact(NETWORK)["classes"] == [5, 6, 7, 8, 9]


def test_numbers_after_classes(tmp_path: Path) -> None:
    """A network that told classes apart learns numbers with a fresh head, and the other way round."""
    table = numbers(tmp_path)
    classes = Dataset(builtin="iris")
    for first, second, metric in ((classes, table, "rmse"), (table, classes, "accuracy")):
        parent = trained(tmp_path, "torch_mlp", first)
        runs = child(tmp_path, parent, second)
        assert metric in runs.scores(FAST)[-1]
        assert left(runs)[list(left(runs))[-1]].shape != left(parent)[list(left(parent))[-1]].shape


def test_inheriting_helps(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """With few rows of other digits, the inherited network has a lower loss after an epoch than one from scratch."""
    parent = trained(tmp_path, "torch_cnn", low)
    runs = child(tmp_path, parent, high, epochs=2)
    tuned, scratch = (
        runs.scores({**FAST, "share": 0.3, "from_scratch": from_scratch})[-1] for from_scratch in (False, True)
    )
    assert tuned["loss"] < scratch["loss"]


def test_from_scratch_inherits_nothing(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """From scratch, the network is as large and its weights are its own; what thaws does not count."""
    parent = trained(tmp_path, "torch_mlp", low)
    runs = child(tmp_path, parent, high)
    scores = runs.scores({**FAST, "from_scratch": True})
    fresh = left(runs)
    assert not [name for name, weight in fresh.items() if weight.dim() > 1 and torch.equal(weight, left(parent)[name])]
    assert scores == runs.scores({**FAST, "from_scratch": True, "frozen": 2, "layer_decay": 0.3})
    again = FoldRuns(tmp_path, "torch_mlp", high, FOLDS, metric="loss")
    assert again.scores({**SMALL["torch_mlp"], **FAST}) == scores


@pytest.mark.parametrize("trainable", sorted(SMALL))
@pytest.mark.parametrize(
    "change",
    [
        {"frozen": 9, "unfreeze_every": 1, "layer_decay": 0.4},
        {"optimizer": "sgd", "frozen": 1, "unfreeze_every": 2, "share": 0.5},
    ],
)
def test_pausing_changes_nothing(
    tmp_path: Path, low: Dataset, high: Dataset, trainable: str, change: dict[str, Any]
) -> None:
    """Whoever pauses after every epoch gets exactly the numbers of training straight through, while blocks thaw."""
    parent = trained(tmp_path, trainable, low)
    p = {**FAST, "mixup": 0.2, **change}
    whole = child(tmp_path, parent, high, epochs=4).scores(p)
    assert len(whole) == 4
    assert paused_everywhere(child(tmp_path, parent, high, epochs=4), p, 4) == whole


def test_choices_change_the_numbers(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """No choice is ignored: each gives numbers of its own, and more frozen blocks than there are means all of them."""
    runs = child(tmp_path, trained(tmp_path, "torch_mlp", low), high)
    changes: list[dict[str, Any]] = [
        {},
        {"frozen": 1},
        {"frozen": 3},
        {"frozen": 3, "unfreeze_every": 1},
        {"frozen": 3, "unfreeze_every": 2},
        {"layer_decay": 0.3},
        {"share": 0.3},
        {"from_scratch": True},
        {"weight_decay": 0.1},
    ]
    losses = [runs.scores({**FAST, **change})[-1]["loss"] for change in changes]
    assert len(set(losses)) == len(changes)
    assert runs.scores({**FAST, "frozen": 99})[-1]["loss"] == losses[2]


def test_children_of_children(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """What has been fine-tuned can be fine-tuned again: its network is described with its weights."""
    parent = trained(tmp_path, "torch_cnn", low)
    runs = child(tmp_path, parent, high)
    *_, last = runs.scores(FAST)
    heritage = runs.heritage(params={})
    again = FoldRuns(tmp_path, "fine_tune", high, FOLDS, metric="loss", heritage=heritage, trial=2)
    first, *_ = again.scores({**STILL, "frozen": 9})
    assert first["loss"] == pytest.approx(last["loss"], rel=1e-6)


def test_it_is_a_parent_like_others(tmp_path: Path, low: Dataset) -> None:
    """It leaves predictions, for the test rows too, and is tested with the network of the first fold."""
    aside = Dataset(uri=low.uri, test=0.2)
    runs = child(tmp_path, trained(tmp_path, "torch_cnn", aside), aside, same_rows=True)
    runs.scores(FAST)
    with np.load(runs.file("predictions.npz")) as stored:
        assert stored["values"].shape == (150, 5)
    assert runs.scores(FAST, fold=TEST_FOLD)


@pytest.mark.parametrize("trainable", sorted(SMALL))
def test_its_model_predicts_what_it_has_kept(tmp_path: Path, low: Dataset, high: Dataset, trainable: str) -> None:
    """The model that it hands over says of rows as the data has them what its fold run said, with a share too."""
    runs = child(tmp_path, trained(tmp_path, trainable, low), high)
    made, rows, kept = runs.model({**FAST, "share": 0.3})
    assert outputs(made.model, made.handed.rows(rows)) == pytest.approx(kept, abs=1e-5)
    assert made.handed.classes == (5, 6, 7, 8, 9)


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
def test_shares_are_of_each_class(tmp_path: Path, share: float) -> None:
    """A share has that part of each class, rounded up, and the smaller share lies in the larger."""
    data = FoldRuns(tmp_path, "fine_tune", Dataset(builtin="wine"), FOLDS).cache.load(Dataset(builtin="wine"))
    train = np.arange(0, 178, 2)
    found = some(train, data, share, (0, 1))
    counts, all_counts = (np.bincount(np.asarray(data.y)[rows]) for rows in (found, train))
    assert counts.tolist() == np.ceil(share * all_counts).astype(int).tolist()
    assert set(some(train, data, 0.05, (0, 1))) <= set(found) <= set(train)
    assert (share == 1) is np.array_equal(found, some(train, data, share, (1, 1)))


def test_shares_of_numbers(tmp_path: Path) -> None:
    """Where there are no classes a share is of all rows, and at least two, which have a deviation."""
    dataset = numbers(tmp_path)
    data = FoldRuns(tmp_path, "fine_tune", dataset, FOLDS).cache.load(dataset)
    assert [len(some(np.arange(40), data, share, (0, 0))) for share in (1e-6, 0.3)] == [2, 12]


def test_the_rest_of_the_rows_is_not_looked_at(tmp_path: Path, low: Dataset) -> None:
    """With a share of the rows, the others change neither what is learnt nor how inputs are standardised."""
    pixels, labels = load_digits(return_X_y=True)
    images = pixels[:150].reshape(-1, 8, 8)
    np.savez(tmp_path / "one.npz", X=images, y=labels[:150])
    one = Dataset(uri="one.npz")
    parent = trained(tmp_path, "torch_cnn", low)
    runs = child(tmp_path, parent, one)
    train, _ = runs.rows()
    used = some(train, runs.cache.load(one), 0.3, (0, 1))
    images[np.setdiff1d(train, used)] = 1000.0
    np.savez(tmp_path / "two.npz", X=images, y=labels[:150])
    p = {**FAST, "share": 0.3}
    assert runs.scores(p) == child(tmp_path, parent, Dataset(uri="two.npz")).scores(p)


def test_a_file_is_as_good_as_a_parent(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """Weights in a file, with their network described beside it, give the numbers that a parent gives."""
    parent = trained(tmp_path, "torch_cnn", low)
    expected = child(tmp_path, parent, high).scores(FAST)
    runs = FoldRuns(tmp_path, "fine_tune", high, FOLDS, metric="loss")
    place = tmp_path / "given"
    place.mkdir()
    (place / "mine.pt").write_bytes(parent.file(WEIGHTS).read_bytes())
    p = {**FAST, "weights": str(place / "mine.pt")}
    assert "network.json does not describe a network (FileNotFoundError" in refused(runs, p)
    described = {**parent.artifact(NETWORK), "parameters": {"channels": 8}}  # the others are the default's
    (place / NETWORK).write_text(json.dumps(described))
    assert runs.scores(p) == expected


def test_bad_files_say_why(tmp_path: Path, low: Dataset, high: Dataset) -> None:
    """A file that is missing, no weights, of another network or not finite fails with its name and what to do."""
    parent = trained(tmp_path, "torch_mlp", low)
    weights = left(parent)
    (name, first), *_ = weights.items()
    place = tmp_path / "given"
    place.mkdir()
    (place / NETWORK).write_text(json.dumps(parent.artifact(NETWORK)))
    runs = FoldRuns(tmp_path, "fine_tune", high, FOLDS, metric="loss")
    file = place / "mine.pt"
    assert "which is no file; give the absolute path" in refused(runs, {"weights": str(file)})
    assert "which is no file; give the absolute path" in refused(runs, {"weights": "mine.pt"})
    file.write_bytes(b"no weights")
    assert "mine.pt cannot be read as weights" in refused(runs, {"weights": str(file)})
    for content, reason in (
        ([first], "holds no weights by name; save net.state_dict()"),
        ({"a": 1}, "holds no weights by name"),
        ({k: v for k, v in weights.items() if k != name}, f"holds no {name}, which its network has"),
        ({**weights, "more": first}, "holds more, which its network has not"),
        ({**weights, name: first[:, :3]}, f"{name} has shape (16, 3), and in its network (16, 64)"),
        ({**weights, name: first * torch.nan}, f"{name} is not finite; take weights of a training"),
    ):
        torch.save(content, file)
        assert reason in refused(runs, {"weights": str(file)})


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"network": "rnn", "parameters": {}, "row": [4], "classes": null}', '{"network": "mlp"}'],
)
def test_bad_descriptions_say_why(tmp_path: Path, low: Dataset, content: str) -> None:
    """A description of no network fails with an example of one."""
    (tmp_path / "mine.pt").write_bytes(b"")
    (tmp_path / NETWORK).write_text(content)
    runs = FoldRuns(tmp_path, "fine_tune", low, FOLDS, metric="loss")
    reason = refused(runs, {"weights": str(tmp_path / "mine.pt")})
    assert "network.json does not describe a network" in reason
    assert '"row": [30]' in reason


def test_nothing_to_begin_with(tmp_path: Path, low: Dataset) -> None:
    """Without a parent and without a file it says that one of the two is needed."""
    runs = FoldRuns(tmp_path, "fine_tune", low, FOLDS, metric="loss")
    assert "no weights to begin with; name a `parent` study, or fix `weights` to a file" in refused(runs, {})


def test_a_parent_without_a_network(tmp_path: Path) -> None:
    """A parent that trained no network is refused with what it has not left."""
    wine = Dataset(builtin="wine")
    parent = FoldRuns(tmp_path, "sklearn_classifier", wine, Evaluation(folds=3))
    parent.scores({"classifier": "tree"})
    runs = child(tmp_path, parent, wine, same_rows=True)
    assert "trial 1 of the parent has left no network.json" in refused(runs, {})


def test_inputs_of_another_shape_say_where(tmp_path: Path, low: Dataset) -> None:
    """Images of another size, or tables of another width, fail with both shapes."""
    shorter = digits(tmp_path, "shorter.npz", range(5), size=6)
    for trainable, theirs, own in (
        ("torch_cnn", "1 channels, 8 lines, 8 columns", "1 channels, 6 lines, 8 columns"),
        ("torch_mlp", "64 columns", "48 columns"),
        ("torch_sequence", "8 steps, 8 values", "6 steps, 8 values"),
    ):
        runs = child(tmp_path, trained(tmp_path, trainable, low), shorter)
        assert f"takes rows of {theirs}, and those of this dataset have {own}; bring" in refused(runs, {})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"share": 0.0}, "share is 0.0; give a number of at least 1e-09"),
        ({"share": 1.5}, "share is 1.5; give a number of at most 1"),
        ({"share": float("nan")}, "share is nan; give a number"),
        ({"layer_decay": 2}, "layer_decay is 2; give a number of at most 1"),
        ({"frozen": -1}, "frozen is -1; give a whole number of at least 0"),
        ({"unfreeze_every": -1}, "unfreeze_every is -1; give a whole number of at least 0"),
        ({"from_scratch": 1}, "from_scratch is 1; give true or false"),
    ],
)
def test_bad_parameters_say_why(tmp_path: Path, low: Dataset, change: dict[str, Any], reason: str) -> None:
    """A value that a parameter cannot have fails with its name and what it can be."""
    parent = trained(tmp_path, "torch_mlp", low)
    assert reason in refused(child(tmp_path, parent, low), change)
