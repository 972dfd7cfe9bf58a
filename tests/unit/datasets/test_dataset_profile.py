"""What a file of rows is like."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from searchd.datasets import profile, source
from searchd.datasets.profile import Profile
from searchd.domain.errors import InvalidStudy
from searchd.domain.study import Dataset

ROWS = 40
X = np.random.default_rng(0).normal(size=ROWS)


def profiled(tmp_path: Path, keep: tuple[str, ...] = (), drop: tuple[str, ...] = (), **columns: object) -> Profile:
    file = tmp_path / "rows.csv"
    pd.DataFrame(columns).to_csv(file, index=False)
    dataset = Dataset(uri=str(file), target="y", drop=drop)
    return profile.profile(source.find(dataset, (tmp_path,)), dataset, keep)


def refused(tmp_path: Path, **columns: object) -> str:
    with pytest.raises(InvalidStudy) as caught:
        profiled(tmp_path, (), (), **columns)
    return str(caught.value)


def classes(*names: object) -> list[object]:
    return [names[i % len(names)] for i in range(ROWS)]


def test_classes_are_counted(tmp_path: Path) -> None:
    """Text, booleans and few whole numbers are told apart, with the rows of each class."""
    found = profiled(tmp_path, x=X, y=[*classes("no")[:-4], *["yes"] * 4])
    assert (found.rows, found.features, found.target.values, found.target.numeric) == (ROWS, 1, "text", False)
    assert found.target.counts == {"no": 36, "yes": 4}
    assert profiled(tmp_path, x=X, y=classes(True, False)).target.values == "booleans"
    assert profiled(tmp_path, x=X, y=classes(0, 1, 2)).target.values == "whole numbers"


def test_numbers_have_a_reach(tmp_path: Path) -> None:
    """A target of numbers has no classes, and says how far its farthest value is."""
    near = profiled(tmp_path, x=X, y=np.linspace(0.5, 1.5, ROWS)).target
    assert (near.values, near.counts, near.distinct) == ("numbers", {}, ROWS)
    assert near.reach == pytest.approx(1.0)
    assert profiled(tmp_path, x=X, y=[*np.linspace(0.5, 1.5, ROWS - 1), 1e6]).target.reach > 1e5


def test_columns_that_certainly_tell_nothing(tmp_path: Path) -> None:
    """Constant and empty ones, counters, text that never repeats and numbers that are named identifiers."""
    found = profiled(
        tmp_path,
        unit=classes("cm"),
        empty=[None] * ROWS,
        row=range(7, 7 + ROWS),
        name=[f"person {i}" for i in range(ROWS)],
        customer_id=[(i * 7919) % 1009 for i in range(ROWS)],
        income=[(i * 7919) % 1009 for i in range(ROWS)],
        x=X,
        y=classes("a", "b"),
    )
    assert found.useless == {
        "unit": "is 'cm' in every row",
        "empty": "is empty",
        "row": "counts the rows",
        "name": "is another text in every row",
        "customer_id": "is another whole number in every row, and its name is that of an identifier",
    }
    assert found.suspects == {"income": "is another whole number in every row"}
    assert found.features == 2


def test_what_is_kept_or_dropped_is_not_judged(tmp_path: Path) -> None:
    """A column that somebody has decided on is a feature, or none, without a word about it."""
    columns = {"row": range(ROWS), "unit": classes("cm"), "x": X, "y": classes("a", "b")}
    found = profiled(tmp_path, keep=("row",), drop=("unit",), **columns)
    assert (found.useless, found.suspects, found.features) == ({}, {}, 2)


def test_a_column_of_few_rows_is_not_taken_for_an_identifier(tmp_path: Path) -> None:
    """Where all values may differ by chance nothing is said of it."""
    found = profiled(tmp_path, name=list("abcdefghijkl"), count=range(12), y=["a", "b"] * 6)
    assert (found.useless, found.suspects) == ({}, {})


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        ([None] * ROWS, "dataset.target: column 'y' has no value in any row; name another column"),
        ([None, *classes("a", "b")[1:]], "column 'y' lacks a value in 1 row, first in row 1 of 40"),
        (classes("a"), "column 'y' has only the class 'a'"),
        ([*np.linspace(0, 1, ROWS - 1), "high"], "column 'y' holds numbers, but 'high' in row 40 of 40; correct that"),
        ([*np.linspace(0, 1, ROWS - 1), np.inf], "column 'y' holds infinite values, first in row 40 of 40"),
    ],
)
def test_a_target_that_cannot_be_predicted(tmp_path: Path, y: list[object], reason: str) -> None:
    """The reason names the column and the row."""
    assert reason in refused(tmp_path, x=X, y=y)


def test_everything_wrong_at_once(tmp_path: Path) -> None:
    """A missing column with the nearest name, and a feature of numbers with a text in it, its row named."""
    text = refused(tmp_path, age=[*X[:-1], "old"], yy=classes("a", "b"))
    assert "dataset.target: there is no column 'y'; did you mean 'yy'?" in text
    assert "column 'age' holds numbers, but 'old' in row 40 of 40" in text


def test_nothing_left_to_predict_by(tmp_path: Path) -> None:
    """Where only columns that tell nothing are left, each is named with its reason."""
    assert "no column is left to predict 'y' by (unit: is 'cm' in every row)" in refused(
        tmp_path, unit=classes("cm"), y=classes("a", "b")
    )


def test_too_few_rows(tmp_path: Path) -> None:
    """Fewer than ten rows are refused."""
    assert "has 6 rows, which is too little to search on; give at least 10 rows" in refused(
        tmp_path, x=X[:6], y=["a", "b"] * 3
    )
    assert "has 0 rows" in refused(tmp_path, x=[], y=[])


def test_without_a_target(tmp_path: Path) -> None:
    """A table without a named target is refused with its columns."""
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,2\n" * ROWS)
    dataset = Dataset(uri=str(tmp_path / "rows.csv"))
    with pytest.raises(InvalidStudy, match="is not set; name the column to predict: use one of a, b"):
        profile.profile(source.find(dataset, (tmp_path,)), dataset)


def test_arrays(tmp_path: Path) -> None:
    """An NPZ is profiled by its arrays; its target is y."""
    np.savez(tmp_path / "rows.npz", X=np.column_stack([X, X]), y=np.arange(ROWS) % 4)
    dataset = Dataset(uri=str(tmp_path / "rows.npz"))
    found = profile.profile(source.find(dataset, (tmp_path,)), dataset)
    assert (found.rows, found.features, found.target.name, found.target.distinct) == (ROWS, 2, "y", 4)


def test_a_file_that_does_not_fit_into_memory(tmp_path: Path) -> None:
    """It is refused before it is read, with its size, what it would take, and what there is."""
    file = tmp_path / "rows.csv"
    with file.open("wb") as stream:
        stream.truncate(2_000_000_000)
    found = source.find(Dataset(uri=str(file)), (tmp_path,))
    with pytest.raises(InvalidStudy) as caught:
        profile.check_memory(found, 4_000_000_000)
    assert "has 2 GB, reading it takes about 6 GB of memory, and 4 GB are free" in str(caught.value)
    profile.check_memory(found, 8_000_000_000)
    profile.check_memory(found, None)


def test_the_memory_of_compressed_arrays(tmp_path: Path) -> None:
    """An NPZ counts as large as its arrays are, not its file."""
    np.savez_compressed(tmp_path / "rows.npz", X=np.zeros((1000, 1000)), y=np.arange(1000))
    found = source.find(Dataset(uri=str(tmp_path / "rows.npz")), (tmp_path,))
    with pytest.raises(InvalidStudy, match="reading it takes about"):
        profile.check_memory(found, 10_000_000)
