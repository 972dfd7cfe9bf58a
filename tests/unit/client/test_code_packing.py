"""Which files of a folder are sent."""

from pathlib import Path

import pytest

from searchd.client.code import packed, packed_module
from searchd.domain.code import code_id
from searchd.domain.errors import InvalidArgument


def write(folder: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def paths(folder: Path) -> list[str]:
    return [file.path for file in packed(folder)]


def test_python_files_are_sent_and_nothing_else(tmp_path: Path) -> None:
    """Sources of all depths go, in order; data, hidden files, caches, environments and a server's data do not."""
    write(tmp_path, "net.py", "layers/__init__.py", "layers/deep/conv.py")
    write(
        tmp_path, "data.csv", "net.pyc", ".secret.py", ".git/hook.py", "layers/__pycache__/conv.py", "build/lib/net.py"
    )
    write(tmp_path, "env/pyvenv.cfg", "env/lib/six.py", "venv/lib/site-packages/six.py", "data/searchd.db", "data/x.py")
    assert paths(tmp_path) == ["layers/__init__.py", "layers/deep/conv.py", "net.py"]


def test_where_a_folder_lies_makes_no_difference(tmp_path: Path) -> None:
    """The same sources have the same id on every machine, whatever else lies beside them and when they were written."""
    write(tmp_path / "a", "net.py", "b/c.py")
    write(tmp_path / "elsewhere" / "z", "b/c.py", "net.py", "notes.txt")
    assert code_id(packed(tmp_path / "a")) == code_id(packed(tmp_path / "elsewhere" / "z"))


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """A circle of links ends, and what lies outside of the folder is not sent by way of one."""
    write(tmp_path, "in/net.py", "out/secret.py")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "out").symlink_to(tmp_path / "out")
    assert paths(tmp_path / "in") == ["net.py"]


@pytest.mark.parametrize(
    ("place", "reason"), [("none", "is not there"), ("net.py", "is a file"), ("empty", "has no Python file")]
)
def test_what_cannot_be_sent_is_said(tmp_path: Path, place: str, reason: str) -> None:
    """A missing folder, a file and a folder without Python are refused before anything is sent."""
    write(tmp_path, "net.py")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidArgument, match=reason):
        packed(tmp_path / place)


def test_a_module_goes_with_what_it_imports(tmp_path: Path) -> None:
    """Of a module's folder only its own file goes, and what it imports from there, directly or not."""
    write(tmp_path, "net.py", text="import json\nfrom layers.conv import Conv\nimport shapes as s, missing\n")
    write(tmp_path, "shapes.py", text="def area():\n    import numbers_of_mine\n    import net\n")
    write(tmp_path, "numbers_of_mine.py", "layers/__init__.py", "layers/conv.py", "other.py", "layers/.old.py")
    sent = [file.path for file in packed_module(tmp_path, "net")]
    assert sent == ["layers/__init__.py", "layers/conv.py", "net.py", "numbers_of_mine.py", "shapes.py"]
