"""Cards that are remembered from server to server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchd.worker.card_memory import CardMemory, Document
from searchd.worker.sources import stamp


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which Python looks, with a module; the cache is beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "net.py").write_text("a = 1")
    return folder


def reader(folder: Path, count: list[int], **changes: Any) -> Callable[[], Document]:
    """Reads a document of the module, and counts how often."""

    def read() -> Document:
        count.append(len(count) + 1)
        file = folder / "net.py"
        return {"cards": [{"name": "net"}], "errors": {}, "stamps": {str(file): stamp(file)}, "n": count[-1], **changes}

    return read


def test_what_was_read_is_remembered(package: Path) -> None:
    """Another server on the same machine is told what the first has read."""
    count: list[int] = []
    first = CardMemory([str(package)]).document(reader(package, count))
    assert CardMemory([str(package)]).document(reader(package, count)) == first
    assert len(count) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "net.py").write_text("a = 22"),
        lambda folder: (folder / "net.py").unlink(),
        lambda folder: (folder / "lightgbm").mkdir(),
    ],
    ids=["source", "gone", "package"],
)
def test_a_change_is_noticed(package: Path, change: Callable[[Path], object]) -> None:
    """A source file that changes or goes, and a package that comes, have everything read anew."""
    count: list[int] = []
    CardMemory([str(package)]).document(reader(package, count))
    change(package)
    CardMemory([str(package)]).document(reader(package, count))
    assert len(count) == 2


def test_modules_that_cannot_be_imported_are_tried_again(package: Path) -> None:
    """A document that tells of errors is not remembered."""
    count: list[int] = []
    for _ in range(2):
        CardMemory([str(package)]).document(reader(package, count, errors={"net": "SyntaxError"}))
    assert len(count) == 2


@pytest.mark.parametrize("damage", ["", "[1]", '{"around": []}', "{"])
def test_a_damaged_memory_is_none(package: Path, damage: str) -> None:
    """What is not what was written is read anew, and replaced."""
    count: list[int] = []
    memory = CardMemory([str(package)])
    memory.document(reader(package, count))
    [file] = (package.parent / "cache" / "searchd").iterdir()
    file.write_text(damage)
    memory.document(reader(package, count))
    memory.document(reader(package, count))
    assert len(count) == 2


def test_without_a_cache_it_is_read_every_time(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache cannot be written to, nothing is lost but time."""
    (package.parent / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(package.parent / "file"))
    count: list[int] = []
    for _ in range(2):
        assert CardMemory([str(package)]).document(reader(package, count))["cards"] == [{"name": "net"}]
    assert len(count) == 2
