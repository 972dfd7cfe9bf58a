"""Studies that compress small networks trained on some digits."""

from pathlib import Path
from typing import Any

from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from tests.unit.trainables.digits import on_digits
from tests.unit.trainables.fold_runs import FoldRuns, Scores
from trainables import torch_cnn, torch_mlp, torch_sequence
from trainables.compress import DEFAULT

PARENTS: dict[str, dict[str, Any]] = {
    "torch_cnn": {**torch_cnn.DEFAULT, "channels": 8, "layers": 2, "lr": 1e-2, "dropout": 0.0},
    "torch_mlp": {**torch_mlp.DEFAULT, "width": 32, "lr": 1e-2, "dropout": 0.0},
    "torch_sequence": {**torch_sequence.DEFAULT, "width": 16, "lr": 1e-2},
}
"""Small networks, by trainable."""

DIGITS = Dataset(uri="some.npz")
"""The file that ``on_digits`` writes."""

PLAIN = {**DEFAULT, "pruning": "none", "quantisation": "none"}
"""Only trained on."""


def trained_parent(folder: Path, trainable: str = "torch_cnn", **changes: Any) -> tuple[FoldRuns, FoldRuns]:
    """A parent trained on fold 0, and runs that compress it for two epochs."""
    params = {**PARENTS[trainable], **changes}
    parent = on_digits(folder, trainable, epochs=6)
    parent.scores(params)
    return parent, child(folder, parent, params)


def child(folder: Path, parent: FoldRuns, params: dict[str, Any], dataset: Dataset = DIGITS) -> FoldRuns:
    """Runs that compress what these left, for two epochs, on the same folds."""
    evaluation = Evaluation(folds=3, split=Split.STRATIFIED, epochs=2)
    return FoldRuns(folder, "compress", dataset, evaluation, heritage=parent.heritage(params=params))


def untimed(scores: Scores) -> list[dict[str, float]]:
    """All but the latency, which no two runs have in common."""
    return [{name: value for name, value in some.items() if name != "latency_ms"} for some in scores]
