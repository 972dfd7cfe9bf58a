"""Where datasets may come from."""

from pathlib import Path

import pytest

from searchd.datasets.source import find
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.study import Dataset


def refused(dataset: Dataset, *roots: Path) -> Violation:
    with pytest.raises(InvalidStudy) as raised:
        find(dataset, roots)
    (violation,) = raised.value.violations
    return violation


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text("a,y\n1,2\n")
    return tmp_path / "in"


def test_relative_and_absolute_paths_are_found(root: Path) -> None:
    """A path is found relative to any allowed root, absolute under one, and as a file URL."""
    other = root.parent / "out"
    for uri in ("in.csv", str(root / "in.csv"), f"file://{root}/in.csv", "../in/in.csv"):
        assert find(Dataset(uri=uri), (other, root)).path == root / "in.csv"


@pytest.mark.parametrize(
    "uri", ["../out/out.csv", "{out}/out.csv", "link.csv", "linked/out.csv", "/etc/passwd", "../nowhere.csv"]
)
def test_paths_outside_the_roots_are_refused(root: Path, uri: str) -> None:
    """No path leads outside the roots: not with dots, absolute, nor through symbolic links; existence is not told."""
    out = root.parent / "out"
    (root / "link.csv").symlink_to(out / "out.csv")
    (root / "linked").symlink_to(out)
    violation = refused(Dataset(uri=uri.format(out=out)), root)
    assert violation.path == "dataset.uri"
    assert "is outside the directories" in violation.message
    assert str(root) in violation.remedy


def test_without_roots_no_file_is_allowed(root: Path) -> None:
    """A server without allowed roots serves bundled datasets only."""
    assert "none are allowed" in refused(Dataset(uri=str(root / "in.csv"))).remedy


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("gone.csv", "there is no file 'gone.csv'"),
        ("in.txt", "the extension '.txt' is not known"),
        ("in", "the file has no extension"),
        ("folder.csv", "is a directory"),
        ("a\0b.csv", "cannot be followed"),
        ("loop.csv/x.csv", "cannot be followed"),
        ("x" * 5000 + ".csv", "cannot be followed"),
        (".", "the file has no extension"),
    ],
)
def test_unusable_paths_say_why(root: Path, uri: str, message: str) -> None:
    """A missing file, an unknown extension, a directory and a malformed path are each refused with the reason."""
    (root / "folder.csv").mkdir()
    (root / "loop.csv").symlink_to(root / "loop.csv")
    assert message in refused(Dataset(uri=uri), root).message


@pytest.mark.parametrize("dataset", [Dataset(), Dataset(builtin="iris", uri="a.csv"), Dataset(builtin="", uri="")])
def test_exactly_one_source_is_needed(dataset: Dataset) -> None:
    """A dataset names exactly one of a bundled dataset and a file."""
    violation = refused(dataset)
    assert (violation.path, violation.remedy) == ("dataset", "set exactly one of builtin and uri")


@pytest.mark.parametrize(
    ("name", "remedy"), [("digit", "did you mean 'digits'?"), ("linnerud", "use one of breast_cancer")]
)
def test_unknown_bundled_names_get_a_suggestion(name: str, remedy: str) -> None:
    """An unknown bundled dataset is refused with the nearest name, or the names there are."""
    violation = refused(Dataset(builtin=name))
    assert violation.path == "dataset.builtin"
    assert violation.remedy.startswith(remedy)


def test_key_follows_file_and_columns(root: Path) -> None:
    """The cache key changes with the file's size or time and with the choice of columns, and with nothing else."""
    dataset = Dataset(uri="in.csv", target="y")
    before = find(dataset, (root,)).key(dataset)
    assert find(dataset, (root,)).key(dataset) == before
    assert find(dataset, (root,)).key(Dataset(uri="in.csv", target="a")) != before
    (root / "in.csv").write_text("a,y\n1,2\n3,4\n")
    assert find(dataset, (root,)).key(dataset) != before
