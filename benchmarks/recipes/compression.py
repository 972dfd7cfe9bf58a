"""Compression of two networks on digits, against small networks that are trained directly; on rows that no choice saw.

For each seed a fifth of the rows is set aside and a fifth of the others validates. A network is trained for 8 epochs
and compressed in 9 ways with 4 more each; networks of 6 smaller widths are trained for 12. All are files of one format,
those trained directly as they are and also with weights of 8 bits. ``chosen`` is the smallest file whose validation
accuracy is at most a quarter of a point below the network's own: half of what may be lost, since choosing flatters. At
equal bytes, of the files that are no larger the one with the best validation accuracy counts: compressed against
direct, or against direct with 8 bits. All accuracies are of the rows set aside, in points; intervals are over seeds, at
95%, corrected for the rows that the seeds have in common.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import trainables.compress
import trainables.torch_cnn
import trainables.torch_mlp  # noqa: F401  (all three are registered)
from benchmarks.report import Aim, Figure, Ratio
from searchd.datasets import DatasetCache
from searchd.domain.evaluation import TEST_FOLD, Evaluation, Split
from searchd.domain.leaderboard import PairedDifference, paired_difference
from searchd.domain.objective import Goal
from searchd.domain.parent import Heritage, ParentTrial
from searchd.domain.study import Dataset, StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import Outcome, Segment, Task
from searchd.trainable import registered
from searchd.trainable.parent import PREDICTIONS
from searchd.worker.files import Storage
from searchd.worker.fold_run import LiveFoldRun, Order
from searchd.worker.host import Loads, Surroundings

DIGITS = Dataset(builtin="digits", test=0.2)
HELD_OUT = 5
"""One row in so many is set aside."""

EPOCHS, FINE_TUNING = 8, 4
SEEDS, QUICK_SEEDS = range(11, 17), range(1, 3)
ALLOWED = 0.0025
"""Accuracy that may be lost on validation rows."""

PARENTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cnn": ("torch_cnn", {"channels": 16, "dropout": 0.2, "lr": 4e-3}),
    "mlp": ("torch_mlp", {"width": 256, "lr": 4e-3}),
}
"""Trainable and parameters by the name of the network."""

SMALLER: Mapping[str, Mapping[str, Sequence[int]]] = {
    "cnn": {"channels": (2, 3, 4, 6, 8, 11)},
    "mlp": {"width": (8, 12, 16, 24, 48, 96)},
}
"""The widths of the networks that are trained directly."""

BYTES: Mapping[str, Sequence[int]] = {"cnn": (2_000, 3_000, 4_500, 9_000), "mlp": (6_000, 12_000, 24_000, 48_000)}
"""At how many bytes fronts are compared."""

WAYS: Sequence[Mapping[str, Any]] = (
    {"pruning": "none"},
    *({"pruning": "magnitude", "sparsity": share} for share in (0.7, 0.9, 0.95)),
    *({"pruning": "structured", "sparsity": share} for share in (0.5, 0.7, 0.85)),
    {"pruning": "magnitude", "sparsity": 0.7, "quantisation": "none"},
    {"pruning": "structured", "sparsity": 0.5, "quantisation": "none"},
)
"""How networks are compressed, with weights of 8 bits unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A file: its bytes, its accuracy on rows that validate and on rows set aside, and its milliseconds for 64 rows."""

    bytes: float
    valid: float
    held_out: float
    latency: float


@dataclass(frozen=True, slots=True)
class Seed:
    """What one seed gave: the network itself, and what is smaller."""

    parent: Measured
    compressed: Sequence[Measured]
    direct: Sequence[Measured]
    direct_8_bits: Sequence[Measured]

    @property
    def chosen(self) -> Measured:
        """The smallest file that validation accuracy allows; the largest if it allows none."""
        allowed = [one for one in self.compressed if one.valid >= self.parent.valid - ALLOWED]
        return min(allowed, key=lambda one: one.bytes) if allowed else max(self.compressed, key=lambda one: one.bytes)


class _Noon:
    def now(self) -> datetime:
        return datetime(2024, 1, 1, 12, tzinfo=UTC)


class Runs:
    """Fold runs without a server, each on the hold-out of a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._cache = DatasetCache(folder / "cache", ())
        self._storage = Storage(folder / "storage")
        self._seed = seed
        self._studies = 0

    def heritage(self, trainable: str, params: Mapping[str, Any]) -> Heritage:
        """What a child knows of what was trained last."""
        return Heritage(f"study-{self._studies}", "", trainable, {}, 1, True, (ParentTrial(1, params, 0.0),))

    def measured(
        self, trainable: str, params: Mapping[str, Any], epochs: int, heritage: Heritage | None = None
    ) -> Measured:
        """Train it; ``bytes`` and ``latency`` are NaN if it says nothing of them.

        Raises:
            RuntimeError: it could not be trained.
        """
        self._studies += 1
        study = StudyName(f"study-{self._studies}")
        evaluation = Evaluation(folds=0, split=Split.STRATIFIED, split_seed=self._seed, epochs=epochs)
        task = Task(study, trainable, {}, DIGITS, "", evaluation, self._seed, ("accuracy",), heritage=heritage)
        segment = Segment(task, TrialNumber(1), params, 0, 0, 1, epochs)
        around = Surroundings(self._cache, self._storage, "cpu", Loads())
        run = LiveFoldRun(segment, registered()[trainable], around, _Noon())
        report, ended = list(run.advance(segment, lambda: Order.GO_ON))[-1]
        run.close()
        if report is None or ended is None or ended.outcome is not Outcome.REACHED:
            raise RuntimeError(f"{trainable} with {dict(params)} was not trained: {ended}")
        found = report.metrics
        held_out = self._held_out(FoldRunKey(study, TrialNumber(1), 0, 0, ""), evaluation)
        nan = float("nan")
        return Measured(found.get("bytes", nan), found["accuracy"], held_out, found.get("latency_ms", nan))

    def _held_out(self, key: FoldRunKey, evaluation: Evaluation) -> float:
        """The accuracy of the predictions that were kept of the rows set aside."""
        rows = self._cache.split(DIGITS, evaluation, 0, TEST_FOLD)[1]
        with np.load(self._storage.artifacts(key) / PREDICTIONS) as kept:
            said = kept["values"][np.searchsorted(kept["rows"], rows)]
        return float((said.argmax(1) == self._cache.load(DIGITS).y[rows]).mean())


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """All networks and seeds, one after the other on one thread; quick is two seeds of the smaller network."""
    torch.set_num_threads(1)
    figures: list[Figure] = []
    for name in ("mlp",) if quick else PARENTS:
        with tempfile.TemporaryDirectory(prefix="compression-") as folder:
            seeds = [seed_of(Path(folder), name, seed) for seed in (QUICK_SEEDS if quick else SEEDS)]
        figures += [*_chosen(name, seeds), *_fronts(name, seeds)]
    return (), tuple(figures)


def seed_of(folder: Path, name: str, seed: int) -> Seed:
    """Train, compress and compare one seed of one network."""
    runs = Runs(folder / str(seed), seed)
    trainable, params = PARENTS[name]
    runs.measured(trainable, params, EPOCHS)
    heritage = runs.heritage(trainable, params)
    parent = _as_it_is(runs, heritage, "none")
    compressed = [runs.measured("compress", {"lr": 3e-3, **way}, FINE_TUNING, heritage) for way in WAYS]
    direct: dict[str, list[Measured]] = {"none": [], "int8": []}
    for change in ({key: width} for key, widths in SMALLER[name].items() for width in widths):
        runs.measured(trainable, {**params, **change}, EPOCHS + FINE_TUNING)
        heritage = runs.heritage(trainable, {**params, **change})
        for quantisation, found in direct.items():
            found.append(_as_it_is(runs, heritage, quantisation))
    return Seed(parent, compressed, direct["none"], direct["int8"])


def _as_it_is(runs: Runs, heritage: Heritage, quantisation: str) -> Measured:
    """The network as a file; no weight is changed, but that normalisation sees the rows once more."""
    way = {"pruning": "none", "quantisation": quantisation, "lr": 0.0}
    return runs.measured("compress", way, 1, heritage)


def _chosen(name: str, seeds: Sequence[Seed]) -> Iterator[Figure]:
    """What the chosen file saves and loses."""
    saved = [1 - seed.chosen.bytes / seed.parent.bytes for seed in seeds]
    lost = _difference([seed.parent.held_out for seed in seeds], [seed.chosen.held_out for seed in seeds])
    slower = [seed.chosen.latency / seed.parent.latency for seed in seeds]
    yield Figure(f"{name}_bytes_whole", _mean([seed.parent.bytes for seed in seeds]), "bytes")
    yield Figure(f"{name}_bytes_chosen", _mean([seed.chosen.bytes for seed in seeds]), "bytes")
    yield Figure(f"{name}_bytes_saved", 100 * _mean(saved), "%", Aim(70))
    yield Figure(f"{name}_accuracy_whole", 100 * _mean([seed.parent.held_out for seed in seeds]), "points")
    yield Figure(f"{name}_accuracy_lost", lost.mean, "points", Aim(0.5, at_least=False))
    yield Figure(f"{name}_accuracy_lost_low", lost.low, "points")
    yield Figure(f"{name}_accuracy_lost_high", lost.high, "points")
    yield Figure(f"{name}_latency_whole", _mean([seed.parent.latency for seed in seeds]), "ms")
    yield Figure(f"{name}_latency_chosen", _mean([seed.chosen.latency for seed in seeds]), "ms")
    yield Figure(f"{name}_latency_chosen_over_whole", float(np.median(slower)), "x")
    for place, way in enumerate(WAYS):
        files = [seed.compressed[place] for seed in seeds]
        yield from _row(f"{name} ways", "-".join(str(value) for value in way.values()), files)


def _fronts(name: str, seeds: Sequence[Seed]) -> Iterator[Figure]:
    """What compression is better by than small networks of as many bytes."""
    for most in BYTES[name]:
        ours = [best(seed.compressed, most) for seed in seeds]
        for peer, files in (
            ("float", [seed.direct for seed in seeds]),
            ("8 bits", [seed.direct_8_bits for seed in seeds]),
        ):
            theirs = [best(some, most) for some in files]
            if None in ours or None in theirs:
                continue
            won = _difference(*([one.held_out for one in side if one is not None] for side in (ours, theirs)))
            for column, value in (("gain", won.mean), ("low", won.low), ("high", won.high)):
                yield Figure(f"{name} over direct/{most} bytes, {peer}/{column}", value, "points")
    for place, width in enumerate(next(iter(SMALLER[name].values()))):
        yield from _row(f"{name} direct", f"{width}", [seed.direct[place] for seed in seeds])
        yield from _row(f"{name} direct", f"{width}, 8 bits", [seed.direct_8_bits[place] for seed in seeds])


def best(files: Sequence[Measured], most: float) -> Measured | None:
    """Of the files with at most so many bytes the one with the best validation accuracy, the smallest of equals."""
    small = [one for one in files if one.bytes <= most]
    return max(small, key=lambda one: (one.valid, -one.bytes)) if small else None


def _row(title: str, row: str, files: Sequence[Measured]) -> Iterator[Figure]:
    yield Figure(f"{title}/{row}/bytes", _mean([one.bytes for one in files]), "bytes")
    yield Figure(f"{title}/{row}/accuracy", 100 * _mean([one.held_out for one in files]), "points")
    yield Figure(f"{title}/{row}/ms", _mean([one.latency for one in files]), "ms")


def _difference(better: Sequence[float], worse: Sequence[float]) -> PairedDifference:
    """By how many points accuracies are higher.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    found = paired_difference([100 * x for x in better], [100 * x for x in worse], HELD_OUT, Goal.MAXIMIZE)
    if found is None:
        raise ValueError("a paired interval needs at least two seeds")
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
