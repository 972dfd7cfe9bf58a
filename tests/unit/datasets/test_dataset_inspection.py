"""What inspection finds wrong, and that it finds nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from searchd.datasets import DatasetCache
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset
from searchd.ports.catalog import Datasets, Inspection

TABLE = "a,when,who,f,y\n" + "".join(f"{i},2024-01-{i + 1:02},p{i % 3},{i % 2},{'uv'[i > 7]}\n" for i in range(12))
"""12 rows, 3 groups, 2 given folds, 8 rows of class u and 4 of class v."""

CSV = Dataset(uri="t.csv", target="y")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "t.csv").write_text(TABLE)
    return folder


@pytest.fixture
def datasets(tmp_path: Path, root: Path) -> Datasets:
    return DatasetCache(tmp_path / "cache", (root,))


def only(inspection: Inspection) -> Violation:
    (violation,) = inspection.violations
    return violation


def test_sound_dataset_has_no_violations(datasets: Datasets) -> None:
    """A dataset that can be split as asked has its size, a fingerprint, its kind of target and no violations."""
    inspection = datasets.inspect(CSV, Evaluation(folds=4, split=Split.STRATIFIED))
    assert inspection.violations == ()
    assert (inspection.rows, len(inspection.fingerprint), inspection.classification) == (12, 12, True)
    assert not datasets.inspect(Dataset(builtin="diabetes"), Evaluation(folds=2)).classification


@pytest.mark.parametrize(
    ("dataset", "path", "remedy"),
    [
        (Dataset(uri="t.csv"), "dataset.target", "name the column to predict, one of a, when, who, f, y"),
        (Dataset(uri="t.csv", target="yy"), "dataset.target", "did you mean 'y'?"),
        (Dataset(uri="t.csv", target="y", drop=("aa",)), "dataset.drop", "did you mean 'a'?"),
        (Dataset(uri="t.csv", target="y", order_by="whem"), "dataset.order_by", "did you mean 'when'?"),
        (Dataset(uri="t.csv", target="y", fold_column="z"), "dataset.fold_column", "use one of a, when, who, f, y"),
        (Dataset(uri="t.csv", target="y", drop=("y",)), "dataset.drop", "use each column for one purpose"),
        (Dataset(uri="t.csv", target="y", drop=("a", "when", "who", "f")), "dataset.drop", "keep at least one"),
        (Dataset(builtin="iris", target="sepal"), "dataset.target", "use one of sepal length (cm)"),
    ],
)
def test_wrong_columns_are_named(datasets: Datasets, dataset: Dataset, path: str, remedy: str) -> None:
    """A column that is missing, unset or named twice is refused at its field, with the nearest name."""
    violation = only(datasets.inspect(dataset, Evaluation()))
    assert violation.path == path
    assert violation.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("dataset", "evaluation", "path", "message"),
    [
        (CSV, Evaluation(folds=13), "evaluation.folds", "13 folds of 12 rows"),
        (CSV, Evaluation(folds=5, split=Split.STRATIFIED), "evaluation.folds", "class 'v' has only 4 rows"),
        (
            Dataset(uri="t.csv", target="a"),
            Evaluation(folds=2, split=Split.STRATIFIED),
            "evaluation.split",
            "needs classes",
        ),
        (
            Dataset(uri="t.csv", target="y", groups="who"),
            Evaluation(folds=4, split=Split.GROUP),
            "evaluation.folds",
            "4 folds of 3 groups",
        ),
        (Dataset(uri="t.csv", target="y", groups="who"), Evaluation(folds=2), "evaluation.split", "both sides"),
        (CSV, Evaluation(folds=2, split=Split.GROUP), "dataset.groups", "the split group needs it"),
        (CSV, Evaluation(folds=2, split=Split.STRATIFIED_GROUP), "dataset.groups", "is not set"),
        (CSV, Evaluation(folds=2, split=Split.TIMESERIES), "dataset.order_by", "the split timeseries needs it"),
        (CSV, Evaluation(folds=2, split=Split.FOLD_COLUMN), "dataset.fold_column", "the split fold_column needs it"),
        (
            Dataset(uri="t.csv", target="y", fold_column="f"),
            Evaluation(folds=3, split=Split.FOLD_COLUMN),
            "evaluation.folds",
            "2 values",
        ),
        (
            Dataset(uri="t.csv", target="y", fold_column="f"),
            Evaluation(split=Split.FOLD_COLUMN),
            "evaluation.holdout",
            "fold column",
        ),
        (
            Dataset(uri="t.csv", target="y", order_by="when"),
            Evaluation(folds=12, split=Split.TIMESERIES),
            "evaluation.folds",
            "12 folds",
        ),
        (
            Dataset(uri="t.csv", target="y", order_by="when"),
            Evaluation(folds=2, split=Split.TIMESERIES, repeats=2),
            "evaluation.repeats",
            "the same in every repeat",
        ),
        (CSV, Evaluation(holdout=0.01, split=Split.STRATIFIED), "evaluation.holdout", "cannot split so"),
        (CSV, Evaluation(holdout=0.999), "evaluation.holdout", "cannot split so"),
        (
            Dataset(uri="t.csv", target="who", order_by="when"),
            Evaluation(holdout=0.95, split=Split.TIMESERIES),
            "evaluation.holdout",
            "side",
        ),
    ],
)
def test_impossible_splits_are_refused(
    datasets: Datasets, dataset: Dataset, evaluation: Evaluation, path: str, message: str
) -> None:
    """A split that the rows do not allow, that lacks its column or that would leak is refused at its field."""
    violation = only(datasets.inspect(dataset, evaluation))
    assert violation.path == path
    assert message in violation.message
    assert violation.remedy


@pytest.mark.parametrize("split", list(Split))
@pytest.mark.parametrize(
    "evaluation",
    [
        Evaluation(folds=1),
        Evaluation(folds=-3),
        Evaluation(holdout=0.0),
        Evaluation(holdout=float("nan")),
        Evaluation(folds=2, repeats=0),
        Evaluation(folds=2, split_seed=-1),
        Evaluation(folds=2, split_seed=2**40),
    ],
)
def test_nonsense_is_left_to_the_study(datasets: Datasets, split: Split, evaluation: Evaluation) -> None:
    """Numbers that suit no dataset raise nothing here and are not reported twice."""
    dataset = Dataset(uri="t.csv", target="y", order_by="when", fold_column="f", groups="who")
    paths = {v.path for v in datasets.inspect(dataset, replace(evaluation, split=split)).violations}
    assert paths <= {"evaluation.split", "evaluation.holdout"}


@pytest.mark.parametrize(
    ("split", "dataset"),
    [
        (Split.KFOLD, CSV),
        (Split.STRATIFIED, CSV),
        (Split.GROUP, Dataset(uri="t.csv", target="y", groups="f")),
        (Split.TIMESERIES, Dataset(uri="t.csv", target="y", order_by="when")),
        (Split.FOLD_COLUMN, Dataset(uri="t.csv", target="y", fold_column="f")),
    ],
)
def test_what_passes_can_be_split(datasets: DatasetCache, split: Split, dataset: Dataset) -> None:
    """Whatever number of folds inspection lets through, every fold of it can be had with rows on both sides."""
    passed = 0
    for folds in range(2, 14):
        evaluation = Evaluation(folds=folds, split=split)
        if not datasets.inspect(dataset, evaluation).violations:
            passed += 1
            for fold in range(folds):
                assert all(len(rows) for rows in datasets.split(dataset, evaluation, 0, fold))
    assert passed == {"kfold": 11, "stratified": 3, "group": 1, "timeseries": 10, "fold_column": 1}[split.value]


def test_everything_is_reported_at_once(datasets: Datasets, root: Path) -> None:
    """Mistakes in columns, rows and split come in one answer, each at its own path."""
    (root / "bad.csv").write_text("a,b,g,y\n1,inf,p,u\n2,3,q,\n")
    dataset = Dataset(uri="bad.csv", target="y", drop=("c",), groups="grp")
    inspection = datasets.inspect(dataset, Evaluation(folds=2, split=Split.TIMESERIES, repeats=2))
    assert [v.path for v in inspection.violations] == [
        "dataset.groups",
        "dataset.drop",
        "dataset.drop",
        "dataset.target",
        "dataset.order_by",
        "evaluation.split",
        "evaluation.repeats",
    ]
    assert (inspection.fingerprint, inspection.rows) == ("", 0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "cannot be read as CSV: No columns"),
        ("header.csv", b"a,y\n", "has 0 rows"),
        ("one.csv", b"a,y\n1,2\n", "has 1 row"),
        ("binary.csv", bytes(range(256)), "cannot be read as CSV"),
        ("ragged.csv", b"a,y\n1,2\n1,2,3,4\n", "Expected 2 fields in line 3, saw 4"),
        ("fake.parquet", b"not parquet", "cannot be read as PARQUET"),
        ("fake.npz", b"PK\x03\x04 not a zip", "cannot be read as NPZ"),
        ("fake2.npz", b"", "cannot be read as NPZ"),
    ],
)
def test_damaged_files_are_refused(datasets: Datasets, root: Path, name: str, content: bytes, message: str) -> None:
    """An empty, short, damaged or mislabelled file is a violation that says what is wrong, never an exception."""
    (root / name).write_bytes(content)
    violations = datasets.inspect(Dataset(uri=name, target="y"), Evaluation(folds=2)).violations
    assert any(v.path == "dataset.uri" and message in v.message for v in violations), violations


@pytest.mark.parametrize(
    ("arrays", "path", "message"),
    [
        ({"y": np.zeros(4)}, "dataset.uri", "holds no array of features"),
        ({"X": np.zeros((4, 2))}, "dataset.target", "there is no array 'y'"),
        ({"X": np.zeros((4, 2)), "y": np.zeros(3)}, "dataset.target", "has shape (3,), the features have 4 rows"),
        ({"X": np.zeros(4), "y": np.arange(4)}, "dataset.uri", "has shape (4,)"),
        ({"X": np.array([[1, np.inf], [2, 3]]), "y": np.arange(2)}, "dataset.uri", "infinite"),
        ({"X": np.array([["a"], ["b"]]), "y": np.arange(2)}, "dataset.uri", "type <U1"),
        ({"X": np.array([[None], [1]]), "y": np.arange(2)}, "dataset.uri", "array 'X' holds Python objects"),
    ],
)
def test_unusable_npz_are_refused(
    datasets: Datasets, root: Path, arrays: dict[str, np.ndarray], path: str, message: str
) -> None:
    """An NPZ without features or target, of unequal lengths, or with pickled objects is refused at its field."""
    np.savez(root / "t.npz", **arrays)  # type: ignore[arg-type]
    violation = only(datasets.inspect(Dataset(uri="t.npz"), Evaluation(folds=2)))
    assert violation.path == path
    assert message in violation.message


def test_single_array_is_refused(datasets: Datasets, root: Path) -> None:
    """An array saved alone under an NPZ's name is refused with how to save it."""
    with (root / "t.npz").open("wb") as stream:
        np.save(stream, np.eye(3))
    assert "np.savez" in only(datasets.inspect(Dataset(uri="t.npz"), Evaluation())).remedy


def test_unreadable_file_is_refused(datasets: Datasets, root: Path) -> None:
    """A pipe with the right name is no file, and nothing waits for it."""
    import os

    os.mkfifo(root / "pipe.csv")
    assert only(datasets.inspect(Dataset(uri="pipe.csv", target="y"), Evaluation())).path == "dataset.uri"
