"""Code that callers send: its id, and what may be in it."""

import pytest

from searchd.domain.code import MAX_BYTES, MAX_FILES, SourceFile, check_files, code_id, code_violations
from searchd.domain.errors import InvalidArgument


def files(*paths: str) -> list[SourceFile]:
    return [SourceFile(path, b"x = 1\n") for path in paths]


def test_the_same_files_have_the_same_id_in_any_order() -> None:
    """An id depends on paths and contents and on nothing else, and is a SHA-256."""
    assert code_id(files("a.py", "b.py")) == code_id(files("b.py", "a.py"))
    assert len(code_id(files("a.py"))) == 64
    ids = {
        code_id(files("a.py")),
        code_id(files("b.py")),
        code_id([SourceFile("a.py", b"x = 2\n")]),
        code_id([SourceFile("a.p", b"yx = 1\n")]),
        code_id(files("a.py", "b.py")),
    }
    assert len(ids) == 5
    assert not list(code_violations(code_id(files("a.py"))))


def test_paths_that_a_project_has_are_taken() -> None:
    """Modules, packages, names with spaces and of any alphabet are fine."""
    check_files(files("net.py", "layers/__init__.py", "layers/conv 2.py", "größe.py", "a/b/c/d.py"))


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/net.py", "../net.py", "a/../net.py", "./net.py", "a//net.py", "", "net.py/", ".hidden.py"),
        *("a/.git/hook.py", "C:net.py", "a\\net.py", "net\0.py", "net\n.py", "net.so", "a/" * 100 + "net.py", ".py"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    """Absolute, upward, hidden, foreign and overlong paths, and what is no Python file, are refused by name."""
    with pytest.raises(InvalidArgument, match="cannot be a file in it"):
        check_files(files("net.py", path))


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("a.py", "a.py"), "'a.py' twice"),
        (("a/net.py", "A/Net.py"), "twice"),
        (("a.py/b.py", "a.py"), "'a.py' is a file and a folder"),
        (("A.py/b/c.py", "a.py"), "'a.py' is a file and a folder"),
        (("searchd/__init__.py",), "would hide the server's own"),
        (("searchd.py",), "would hide the server's own"),
        ((), "no Python file"),
        (tuple(f"m{n}.py" for n in range(MAX_FILES + 1)), f"has {MAX_FILES + 1} Python files"),
    ],
)
def test_files_in_each_others_place_are_refused(paths: tuple[str, ...], reason: str) -> None:
    """No file may be there twice, be a folder as well, or hide searchd; and there are some, but not too many."""
    with pytest.raises(InvalidArgument, match=reason):
        check_files(files(*paths))


def test_what_is_too_large_names_its_largest_files() -> None:
    """The message says how much there is, how much there may be, and where most of it lies."""
    large = [SourceFile("small.py", b""), SourceFile("weights.py", b"x" * MAX_BYTES)]
    with pytest.raises(
        InvalidArgument, match=r"takes 3\.5 MB, more than 3\.5; the largest are weights\.py \(3\.5 MB\)"
    ):
        check_files(large)
    check_files([SourceFile("weights.py", b"x" * (MAX_BYTES - 10))])


@pytest.mark.parametrize("written", [".", "0" * 63, "0" * 65, "G" * 64, "../" + "0" * 61, "A" * 64])
def test_only_an_id_is_one(written: str) -> None:
    """Whatever is no SHA-256 in lower-case hex is a violation that tells how to send code."""
    (violation,) = code_violations(written)
    assert violation.path == "code_id"
    assert "--code" in violation.remedy
