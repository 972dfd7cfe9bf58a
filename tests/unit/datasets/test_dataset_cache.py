"""The node's cache of datasets, with real files."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, load_wine

from searchd.datasets import DataChanged, DatasetCache, LoadedDataset
from searchd.domain.errors import InvalidStudy
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.study import Dataset

TABLE = "a,b,y\n1,2,u\n3,4,v\n5,6,u\n7,8,v\n"


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path, data_root: Path) -> DatasetCache:
    return DatasetCache(tmp_path / "cache", (data_root,))


def entries(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_bundled_rows_are_scikit_learns(cache: DatasetCache) -> None:
    """A bundled dataset has exactly the rows, targets and class names that scikit-learn loads."""
    wine, expected = cache.load(Dataset(builtin="wine")), load_wine()
    assert np.array_equal(wine.X, expected.data)
    assert np.array_equal(wine.y, expected.target)
    assert wine.classes == tuple(expected.target_names)
    assert wine.feature_names == tuple(expected.feature_names)
    assert (len(wine), wine.task) == (178, "classification")


def test_digits_are_a_table_and_images(cache: DatasetCache) -> None:
    """Digits are given as a table of 64 columns and as images of 8 by 8 with one channel."""
    digits = cache.load(Dataset(builtin="digits"))
    assert np.array_equal(digits.X, load_digits().data)
    assert np.array_equal(digits.images[..., 0], load_digits().images)


def test_diabetes_is_a_regression(cache: DatasetCache) -> None:
    """A target of many whole numbers is a number to predict, not a class."""
    diabetes = cache.load(Dataset(builtin="diabetes"))
    assert (diabetes.task, diabetes.classes) == ("regression", ())
    assert diabetes.y.dtype == np.float64


def test_arrays_cannot_be_written(cache: DatasetCache) -> None:
    """A trainable that writes into the dataset gets an error instead of spoiling it for all others."""
    wine = cache.load(Dataset(builtin="wine"))
    with pytest.raises(ValueError, match="read-only"):
        wine.X[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        cache.split(Dataset(builtin="wine"), Evaluation(folds=2), 0, 0)[0][0] = 1


def test_table_is_no_image(cache: DatasetCache) -> None:
    """Asking a table for images says what datasets have them."""
    with pytest.raises(ValueError, match="use digits, or an NPZ"):
        _ = cache.load(Dataset(builtin="wine")).images


def test_csv_and_parquet_agree(cache: DatasetCache, data_root: Path) -> None:
    """The same table gives the same arrays from CSV and from Parquet."""
    (data_root / "t.csv").write_text(TABLE)
    pd.read_csv(data_root / "t.csv").to_parquet(data_root / "t.parquet")
    csv, parquet = (cache.load(Dataset(uri=name, target="y")) for name in ("t.csv", "t.parquet"))
    for loaded in (csv, parquet):
        assert np.array_equal(loaded.X, [[1, 2], [3, 4], [5, 6], [7, 8]])
        assert np.array_equal(loaded.y, [0, 1, 0, 1])
        assert loaded.classes == ("u", "v")


def test_text_of_many_values_is_marked(cache: DatasetCache, data_root: Path) -> None:
    """A dataset names the features that hold codes of text, from a CSV and from a Parquet file alike."""
    frame = pd.DataFrame({"n": range(30), "few": list("abc") * 10, "many": [f"v{i}" for i in range(30)]})
    frame["y"] = frame.n / 7
    frame.to_csv(data_root / "t.csv", index=False)
    frame.to_parquet(data_root / "t.parquet")
    for uri in ("t.csv", "t.parquet"):
        loaded = cache.load(Dataset(uri=uri, target="y"))
        assert loaded.feature_names == ("n", "few=a", "few=b", "few=c", "many")
        assert loaded.coded == ("many",)


def test_columns_with_a_purpose_are_no_features(cache: DatasetCache, data_root: Path) -> None:
    """Target, groups, time, given folds and dropped columns are left out of the features."""
    (data_root / "t.csv").write_text(
        "id,g,t,f,a,y\n9,p,2024-01-02,1,1.5,0.5\n8,q,2024-01-01,0,2.5,1.5\n7,p,2024-01-03,1,3.5,2.5\n"
    )
    loaded = cache.load(
        Dataset(uri="t.csv", target="y", drop=("id",), groups="g", order_by="t", fold_column="f"),
    )
    assert loaded.feature_names == ("a",)
    assert loaded.groups is not None
    assert loaded.order is not None
    assert loaded.fold is not None
    assert loaded.groups.tolist() == [0, 1, 0]
    assert np.argsort(loaded.order).tolist() == [1, 0, 2]
    assert loaded.fold.tolist() == [1, 0, 1]


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 4, 3)])
def test_npz_images_stay_as_they_are(cache: DatasetCache, data_root: Path, shape: tuple[int, ...]) -> None:
    """Images in an NPZ keep their type and shape, and are offered with a channel axis."""
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.savez(data_root / "t.npz", X=pixels, y=np.array(list("ababab")))
    loaded = cache.load(Dataset(uri="t.npz"))
    assert loaded.X.dtype == np.uint8
    assert np.array_equal(loaded.X, pixels)
    assert loaded.images.shape == (6, 5, 4, 3 if len(shape) == 4 else 1)
    assert loaded.table.shape == (6, 20 * loaded.images.shape[3])
    assert loaded.classes == ("a", "b")


def test_npz_tables_become_floats(cache: DatasetCache, data_root: Path) -> None:
    """A table of whole numbers in an NPZ becomes float64, with its named arrays for target and groups."""
    np.savez(
        data_root / "t.npz", x=np.eye(4, dtype=int), label=np.array([[0], [1], [0], [1]]), who=np.array([5, 5, 6, 6])
    )
    loaded = cache.load(Dataset(uri="t.npz", target="label", groups="who"))
    assert loaded.X.dtype == np.float64
    assert loaded.y.tolist() == [0, 1, 0, 1]
    assert loaded.groups is not None
    assert loaded.groups.tolist() == [0, 0, 1, 1]


def test_made_once_by_many(tmp_path: Path, data_root: Path) -> None:
    """Workers that ask for a dataset at the same moment share one copy that one of them makes."""
    (data_root / "t.csv").write_text(TABLE)
    start = Barrier(8)

    def load(_: int) -> int:
        own = DatasetCache(tmp_path / "cache", (data_root,))
        start.wait()
        own.load(Dataset(uri="t.csv", target="y"))
        (entry,) = [path for path in entries(tmp_path) if path.suffix != ".draft"]
        return entry.stat().st_ino

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(load, range(8)))) == 1


def test_changed_file_is_read_again(cache: DatasetCache, data_root: Path) -> None:
    """A file that changes gives the new rows under a new fingerprint, without a restart."""
    path = data_root / "t.csv"
    path.write_text(TABLE)
    before = cache.load(Dataset(uri="t.csv", target="y"))
    path.write_text(TABLE.replace("8", "9"))
    os.utime(path, ns=(1, 1))
    after = cache.load(Dataset(uri="t.csv", target="y"))
    assert (before.X[3, 1], after.X[3, 1]) == (8, 9)
    assert before.fingerprint != after.fingerprint


def test_changed_content_is_refused_where_it_is_not_expected(cache: DatasetCache, data_root: Path) -> None:
    """Rows and splits are given out for the fingerprint that is asked for only; touching a file does not change it."""
    path, dataset, evaluation = data_root / "t.csv", Dataset(uri="t.csv", target="y"), Evaluation(folds=2)
    path.write_text(TABLE)
    expected = cache.load(dataset).fingerprint
    os.utime(path, ns=(1, 1))
    assert cache.load(dataset, expected).fingerprint == expected
    assert len(cache.split(dataset, evaluation, 0, 0, expected)) == 2
    path.write_text(TABLE.replace("8", "9"))
    found = cache.load(dataset).fingerprint
    for ask in (lambda: cache.load(dataset, expected), lambda: cache.split(dataset, evaluation, 0, 0, expected)):
        with pytest.raises(DataChanged) as changed:
            ask()
        assert (changed.value.source, changed.value.expected, changed.value.found) == ("t.csv", expected, found)
        assert expected in str(changed.value)
        assert found in str(changed.value)


def test_fingerprint_is_of_content_and_columns(cache: DatasetCache, data_root: Path) -> None:
    """Equal files have equal fingerprints wherever they lie; another choice of columns has another one."""
    for name in ("one.csv", "two.csv"):
        (data_root / name).write_text(TABLE)
    one, two = (cache.load(Dataset(uri=name, target="y")) for name in ("one.csv", "two.csv"))
    other = cache.load(Dataset(uri="one.csv", target="y", drop=("a",)))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert len(one.fingerprint) == 12
    assert int(one.fingerprint, 16) >= 0


@pytest.mark.parametrize("damage", ["lost", "cut", "meta"])
def test_damaged_entry_is_made_again(tmp_path: Path, damage: str) -> None:
    """A cache entry that a full disk or a cleaner of temporary files has damaged is made again."""
    whole = DatasetCache(tmp_path / "cache", ()).load(Dataset(builtin="iris")).X.copy()
    (entry,) = entries(tmp_path)
    match damage:
        case "lost":
            (entry / "y.npy").unlink()
        case "cut":
            (entry / "X.npy").write_bytes((entry / "X.npy").read_bytes()[:200])
        case "meta":
            (entry / "meta.json").write_text("{")
    assert np.array_equal(DatasetCache(tmp_path / "cache", ()).load(Dataset(builtin="iris")).X, whole)


def test_left_over_draft_does_no_harm(tmp_path: Path) -> None:
    """What a killed process left half-written is replaced by the next one."""
    cache = DatasetCache(tmp_path / "cache", ())
    cache.load(Dataset(builtin="iris"))
    (entry,) = entries(tmp_path)
    entry.rename(entry.with_name(f"{entry.name}.draft"))
    assert len(DatasetCache(tmp_path / "cache", ()).load(Dataset(builtin="iris"))) == 150
    assert entries(tmp_path) == [entry]


def test_splits_are_computed_once(cache: DatasetCache) -> None:
    """Asking again for a fold returns the very same arrays; another seed gives others."""
    iris, evaluation = Dataset(builtin="iris"), Evaluation(folds=3, split=Split.STRATIFIED)
    first = cache.split(iris, evaluation, 0, 1)
    assert cache.split(iris, evaluation, 0, 1)[0] is first[0]
    assert not np.array_equal(cache.split(iris, Evaluation(folds=3, split_seed=1), 0, 1)[1], first[1])


def test_load_raises_what_inspect_lists(cache: DatasetCache) -> None:
    """A dataset that cannot be loaded is an invalid study, with the violations."""
    with pytest.raises(InvalidStudy, match="did you mean 'iris'") as raised:
        cache.load(Dataset(builtin="irsi"))
    assert [v.path for v in raised.value.violations] == ["dataset.builtin"]


def test_saved_dataset_opens_equal(tmp_path: Path) -> None:
    """What is saved and opened again is equal in every field, with and without the optional arrays."""
    full = LoadedDataset(
        fingerprint="0" * 12,
        task="classification",
        X=np.ones((2, 4)),
        y=np.array([0, 1]),
        classes=("a", True),
        feature_names=("p", "q", "r", "s"),
        groups=np.array([1, 0]),
        order=None,
        fold=np.array([0, 1]),
        image_shape=(2, 2),
        coded=("q",),
    )
    full.save(tmp_path)
    opened = LoadedDataset.open(tmp_path)
    for name in ("fingerprint", "task", "classes", "feature_names", "order", "image_shape", "coded"):
        assert getattr(opened, name) == getattr(full, name)
    for name in ("X", "y", "groups", "fold"):
        assert np.array_equal(getattr(opened, name), getattr(full, name))


def test_import_is_light() -> None:
    """Importing the package loads neither scikit-learn nor pandas nor PyArrow: every worker imports it."""
    code = "import sys, searchd.datasets; print([m for m in ('sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
