"""Compression of a parent's network, run as a worker runs it."""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset
from searchd.ports.engine import Outcome
from searchd.trainable import registered
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.sources import source_files
from tests.unit.trainables.compressing import DIGITS, PARENTS, PLAIN, child, trained_parent, untimed
from tests.unit.trainables.digits import on_digits, paused_everywhere
from tests.unit.trainables.fold_runs import FoldRuns
from trainables import (
    torch_hypergradient,  # noqa: F401  (is registered)
    torch_inputs,
)
from trainables.compress import COMPRESSED, DEFAULT
from trainables.network_file import read
from trainables.torch_training import WEIGHTS

WAYS: list[dict[str, Any]] = [
    {"quantisation": "none"},
    {"sparsity": 0.9, "pruning_steps": 2},
    {"pruning": "structured", "sparsity": 0.5},
    {"pruning": "structured", "importance": "l2", "quantisation": "none"},
    {"pruning": "none", "quantisation": "int8_dynamic"},
]


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> FoldRuns:
    """Runs that compress a network."""
    return trained_parent(tmp_path_factory.mktemp("compressing"))[1]


def test_card_tells_what_it_takes() -> None:
    """It is registered with a parent, a default inside its space, checkpoints and folds."""
    card = registered()["compress"]
    assert set(card.space.names()) == set(DEFAULT)
    assert {"accuracy", "rmse", "loss", "bytes", "saved", "parameters", "latency_ms"} <= set(card.metrics)
    assert (card.parent, card.checkpoints, card.folds, card.default) == (True, True, True, DEFAULT)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_file_holds_what_was_scored(tmp_path: Path, way: dict[str, Any]) -> None:
    """The artifact loads back to the network whose predictions were kept and scored, and has the bytes reported."""
    _, runs = trained_parent(tmp_path)
    scores = runs.scores({**DEFAULT, **way})
    assert [set(some) - {"latency_ms"} for some in scores] == [set(untimed(scores)[0])] * 2
    path = runs.file(COMPRESSED)
    assert path.stat().st_size == scores[-1]["bytes"]
    data, (train, valid) = runs.cache.load(DIGITS), runs.rows()
    with torch.no_grad():
        given = read(path)(torch_inputs.images(data, train)[torch.tensor(valid)])
    with np.load(runs.file(PREDICTIONS)) as kept:
        stored = kept["values"][np.searchsorted(kept["rows"], valid)]
    assert np.array_equal(given.double().softmax(1).numpy().astype(np.float32), stored)
    assert (given.argmax(1).numpy() == data.y[valid]).mean() == pytest.approx(scores[-1]["accuracy"], abs=1e-12)


@pytest.mark.parametrize("trainable", PARENTS)
def test_each_kind_of_network_becomes_smaller(tmp_path: Path, trainable: str) -> None:
    """Networks for images, tables and sequences lose most of their bytes and still predict far better than chance."""
    _, runs = trained_parent(tmp_path, trainable)
    whole, small = runs.scores(PLAIN)[-1], runs.scores({**DEFAULT, "lr": 3e-3})[-1]
    assert abs(whole["saved"]) < 0.02
    assert small["saved"] == pytest.approx(1 - small["bytes"] / (whole["bytes"] / (1 - whole["saved"])))
    assert small["saved"] > 0.5
    assert small["parameters"] < 0.45 * whole["parameters"]
    assert small["accuracy"] > 0.5


@pytest.mark.parametrize("block", ["gru", "attention"])
@pytest.mark.parametrize("quantisation", ["int8", "int8_dynamic"])
def test_sequences_are_quantised(tmp_path: Path, block: str, quantisation: str) -> None:
    """Recurrent units and attention keep within 5 points of what they were when their weights become integers."""
    _, runs = trained_parent(tmp_path, "torch_sequence", block=block)
    whole, small = (runs.scores({**PLAIN, "quantisation": q})[-1] for q in ("none", quantisation))
    assert small["accuracy"] == pytest.approx(whole["accuracy"], abs=0.05)
    assert small["bytes"] < 0.5 * whole["bytes"]


def test_untouched_network_is_the_parents(tmp_path: Path) -> None:
    """Without pruning, quantisation and a learning rate, the predictions are those that the parent kept."""
    parent, runs = trained_parent(tmp_path, "torch_mlp", norm="none")
    runs.scores({**PLAIN, "lr": 0.0})
    with np.load(parent.file(PREDICTIONS)) as theirs, np.load(runs.file(PREDICTIONS)) as ours:
        assert np.array_equal(theirs["values"], ours["values"])


@pytest.mark.parametrize("way", [{"pruning_steps": 2}, {"pruning": "structured"}], ids=str)
def test_continuing_changes_nothing(tmp_path: Path, way: dict[str, Any]) -> None:
    """Epochs that different workers train give exactly the numbers of those of one, latency apart."""
    params: dict[str, Any] = {**DEFAULT, **way}
    parent, runs = trained_parent(tmp_path)
    whole = untimed(runs.scores(params))
    again = child(tmp_path, parent, PARENTS["torch_cnn"])
    assert untimed(paused_everywhere(again, params, 2)) == whole


def test_masks_are_kept_while_it_trains(tmp_path: Path) -> None:
    """As many weights are 0 in the file as were pruned, although momentum and weight decay move all others."""
    _, runs = trained_parent(tmp_path, "torch_mlp", optimizer="sgd", momentum=0.9, weight_decay=1e-3)
    scores = runs.scores({**DEFAULT, "sparsity": 0.8, "quantisation": "none"})
    tensors = safetensors.torch.load(gzip.decompress(runs.file(COMPRESSED).read_bytes()))
    left = {name: len(values) for name, values in tensors.items() if f"{name}|places" in tensors}
    total = 64 * 32 + 32 * 32 + 32 * 10
    assert sum(left.values()) == total - round(0.8 * total)
    assert set(left) == {"0.weight", "4.weight", "8.weight"}
    assert scores[0]["parameters"] == scores[1]["parameters"] == sum(left.values()) + 4 * 32 + 10


def test_pruning_in_steps_ends_where_it_should(tmp_path: Path) -> None:
    """With more steps than epochs the last epoch has the whole sparsity, and the first less."""
    _, runs = trained_parent(tmp_path, "torch_mlp")
    at_once, parted = (runs.scores({**DEFAULT, "quantisation": "none", "pruning_steps": n}) for n in (1, 3))
    assert parted[0]["parameters"] > at_once[0]["parameters"]
    assert parted[1]["parameters"] == at_once[1]["parameters"]


def test_structured_pruning_makes_layers_narrower(tmp_path: Path) -> None:
    """Channels are gone, not 0: the network that is read has fewer of them."""
    _, runs = trained_parent(tmp_path)
    runs.scores({**DEFAULT, "pruning": "structured", "sparsity": 0.75})
    net = read(runs.file(COMPRESSED))
    kernels = [module for module in net.modules() if isinstance(module, torch.nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in kernels] == [(1, 2), (2, 4)]


def test_numbers_are_compressed_too(tmp_path: Path) -> None:
    """A network that predicts numbers keeps predicting them, in their own units."""
    rows = np.random.default_rng(0).normal(size=(120, 3))
    np.savez(tmp_path / "line.npz", X=rows, y=1000 + 50 * rows @ [1.0, 2.0, -1.0])
    params = {**PARENTS["torch_mlp"], "norm": "none"}
    line, three = Dataset(uri="line.npz"), Evaluation(folds=3, epochs=8)
    parent = FoldRuns(tmp_path, "torch_mlp", line, three, metric="loss")
    parent.scores(params)
    runs = FoldRuns(tmp_path, "compress", line, three, metric="loss", heritage=parent.heritage(params=params))
    assert runs.scores({**DEFAULT, "sparsity": 0.3})[-1]["r2"] > 0.8


@pytest.mark.parametrize(
    ("trainable", "changes", "reason"),
    [
        ("torch_sequence", {}, "layers of Recurrent"),
        ("torch_sequence", {"block": "attention"}, "layers of Attention"),
        ("torch_cnn", {"norm": "group", "channels": 8}, "out of layer 1, which normalises them in 2 groups"),
        ("torch_mlp", {"residual": True, "width": 64}, "no layer to narrow"),
    ],
)
def test_what_cannot_be_narrowed_is_infeasible(
    tmp_path: Path, trainable: str, changes: dict[str, Any], reason: str
) -> None:
    """Structured pruning of recurrent units, attention, grouped channels and a network's own input is given up."""
    _, runs = trained_parent(tmp_path, trainable, **changes)
    _, ended = runs.advance({**DEFAULT, "pruning": "structured"})
    assert ended.outcome is Outcome.INFEASIBLE
    assert "pruning 'structured'" in ended.reason
    assert reason in ended.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pruning": "random"}, "use none, magnitude or structured"),
        ({"quantisation": "int4"}, "use none, int8 or int8_dynamic"),
        ({"importance": "l0"}, "use l1 or l2"),
        ({"sparsity": 1.0}, "sparsity is 1.0"),
        ({"sparsity": float("nan")}, "sparsity is nan"),
        ({"sparsity": "much"}, "sparsity is 'much'"),
        ({"pruning_steps": 0}, "pruning_steps is 0"),
        ({"channels": 4}, "no parameter 'channels': the network is the parent's; leave it out"),
        ({"patience": 3}, "no parameter 'patience'"),
        ({"depth": 4}, "no parameter 'depth'"),
    ],
    ids=str,
)
def test_wrong_parameters_say_why(compressing: FoldRuns, change: dict[str, Any], reason: str) -> None:
    """A value that there is not, and a parameter that is the parent's, fail with the reason."""
    _, ended = compressing.advance({**DEFAULT, **change})
    assert ended.outcome is Outcome.FAILED
    assert reason in ended.reason


def test_divergence_is_infeasible(tmp_path: Path) -> None:
    """A learning rate that breaks the network ends the trial as infeasible."""
    _, runs = trained_parent(tmp_path, "torch_mlp", optimizer="sgd", norm="none")
    _, ended = runs.advance({**PLAIN, "lr": 1e30})
    assert ended.outcome is Outcome.INFEASIBLE
    assert "diverged" in ended.reason


def test_parent_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A parent that has left no description of its network is named, with what it trained."""
    runs = child(tmp_path, on_digits(tmp_path, "torch_hypergradient"), {})
    _, ended = runs.advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert "has left no network.json" in ended.reason
    assert "torch_hypergradient" in ended.reason


def test_parent_without_weights_is_refused(tmp_path: Path) -> None:
    """A parent that has left no weights says which file is missing."""
    parent, runs = trained_parent(tmp_path)
    parent.file(WEIGHTS).unlink()
    _, ended = runs.advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert WEIGHTS in ended.reason


def test_other_rows_are_refused(tmp_path: Path) -> None:
    """A dataset with other classes than the parent's is refused, with what could be done."""
    parent = on_digits(tmp_path, "torch_cnn")
    parent.scores(PARENTS["torch_cnn"])
    data = parent.cache.load(DIGITS)
    np.savez(tmp_path / "few.npz", X=data.X.reshape(-1, 8, 8), y=data.y % 3)
    _, ended = child(tmp_path, parent, PARENTS["torch_cnn"], dataset=Dataset(uri="few.npz")).advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert "other classes than the dataset has" in ended.reason


def test_missing_torchao_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchao quantisation says what to install, and pruning alone works."""
    _, runs = trained_parent(tmp_path)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    _, ended = runs.advance(DEFAULT)
    assert ended.outcome is Outcome.FAILED
    assert "quantisation 'int8' needs torchao" in ended.reason
    assert "searchd[compression]" in ended.reason
    assert runs.scores({**DEFAULT, "quantisation": "none"}, fold=0)


def test_other_trainables_are_no_part_of_it() -> None:
    """Its code has none of the trainables whose networks it compresses: they can change without it, and it without
    them."""
    files = {path.name for path in source_files("trainables.compress")}
    assert {"compress.py", "torch_architectures.py"} <= files
    assert not files & {f"{name}.py" for name in PARENTS}
