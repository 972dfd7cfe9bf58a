"""Files that appear whole or not at all."""

from pathlib import Path

import pytest

from searchd.care.errors import CareRefused
from searchd.care.folder import workshop
from tests.unit.care.care_house import left_beside


def test_nothing_is_left(tmp_path: Path) -> None:
    """After success and after an error the folder in which a file was made is gone."""
    file = tmp_path / "file"
    with workshop(file) as folder:
        (folder / "half").touch()
        assert folder.parent == tmp_path
    with pytest.raises(OSError, match="full"), workshop(file) as folder:  # noqa: PT012  # the fault is in its middle
        (folder / "half").touch()
        raise OSError("full")
    assert left_beside(file) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    """What was left in the same place, for a file of any name, is removed by the next call, and nothing else is."""
    for name in (".other.partial-backup", ".file.partial-backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    (tmp_path / ".file.tmp").touch()
    with workshop(tmp_path / "file"):
        assert left_beside(tmp_path / "file") == [".file.partial-backup", ".file.tmp"]
    assert left_beside(tmp_path / "file") == [".file.tmp"]


def test_two_do_not_make_the_same_file(tmp_path: Path) -> None:
    """While a file is being made, making it again is refused and disturbs nothing; another one can be made."""
    with workshop(tmp_path / "file") as first:
        (first / "half").touch()
        with pytest.raises(CareRefused, match="another process is writing"), workshop(tmp_path / "file"):
            pass
        with workshop(tmp_path / "other"):
            pass
        assert (first / "half").exists()
