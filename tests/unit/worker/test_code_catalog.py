"""Code that callers sent: how it is kept, found and read."""

import os
import pickle
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from searchd.domain.code import CodeId, SourceFile, code_id
from searchd.domain.errors import CodeNotFound, InvalidArgument, StoreFull, StoreUnavailable
from searchd.engines.simulated import VirtualClock
from searchd.worker.code_catalog import LATELY, CodeCatalog
from searchd.worker.code_folder import CodeFolders, declaring_modules
from searchd.worker.sources import fingerprint

NET = """
from searchd.trainable import trainable
{more}
@trainable(metrics={{"accuracy": "maximize"}})
def {name}(ctx):
    '''{text}'''
    yield {{"accuracy": 1.0}}
"""
GHOST = CodeId("0" * 64)


def net(path: str = "net.py", name: str = "my_net", text: str = "Nets.", more: str = "") -> SourceFile:
    return SourceFile(path, NET.format(name=name, text=text, more=more).encode())


def source(path: str, text: str) -> SourceFile:
    return SourceFile(path, textwrap.dedent(text).encode())


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def code(tmp_path: Path, clock: VirtualClock) -> CodeCatalog:
    return CodeCatalog(tmp_path, clock)


def test_files_come_out_as_they_went_in(tmp_path: Path, code: CodeCatalog) -> None:
    """Each file lies in the folder of their id with its very bytes, and nothing else does."""
    files = [net(), SourceFile("a/b/größe.py", b"\xff\x00\r\n")]
    assert code.add(files) == code_id(files)
    folder = tmp_path / "code" / code_id(files)
    found = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert found == {file.path: file.content for file in files}
    assert [path.name for path in (tmp_path / "code").iterdir()] == [code_id(files)]


def test_files_that_are_there_are_left_alone(tmp_path: Path, code: CodeCatalog) -> None:
    """Adding the same again writes nothing."""
    first = code.add([net()])
    written = (tmp_path / "code" / first / "net.py").stat()
    assert code.add([net()]) == first
    assert (tmp_path / "code" / first / "net.py").stat().st_ino == written.st_ino


def test_hostile_files_write_nothing(tmp_path: Path, code: CodeCatalog) -> None:
    """An archive with a path that leads out of its folder is refused as a whole."""
    storage = tmp_path / "code"
    for path in ("../escaped.py", str(tmp_path / "escaped.py"), "a/../../escaped.py"):
        with pytest.raises(InvalidArgument, match="cannot be a file in it"):
            code.add([net(), SourceFile(path, b"")])
    assert not storage.exists()
    assert not list(tmp_path.rglob("escaped.py"))


def test_files_that_cannot_be_written_leave_nothing(tmp_path: Path, clock: VirtualClock) -> None:
    """Where nothing can be written that is said, and what was begun is taken away; a full disk is said to be one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be kept"):
        CodeCatalog(tmp_path / "file", clock).add([net()])
    code = CodeCatalog(tmp_path, clock)
    with pytest.raises(StoreUnavailable, match="File name too long"):
        code.add([net(), SourceFile("ö" * 190 + ".py", b"")])
    assert list((tmp_path / "code").iterdir()) == []
    assert isinstance(StoreFull("x"), StoreUnavailable)


def test_modules_that_import_the_decorator_are_found(tmp_path: Path) -> None:
    """A file declares trainables if it imports searchd.trainable in any way; scripts and mentions do not."""
    CodeFolders(tmp_path).put(
        [
            net("b.py"),
            source("pkg/__init__.py", "from searchd import Client, trainable"),
            source("pkg/deep/a.py", "import searchd.trainable as s"),
            source("submit.py", "import searchd\nsearchd.Client()  # from searchd.trainable import trainable"),
            net("my-script.py"),
            net("pkg/__main__.py"),
            source("broken.py", "from searchd.trainable import trainable\ndef ("),
        ]
    )
    (folder,) = (tmp_path / "code").iterdir()
    assert declaring_modules(folder) == ("b", "broken", "pkg", "pkg.deep.a")


def test_cards_are_those_of_the_code(tmp_path: Path, code: CodeCatalog) -> None:
    """Two versions of one name are read apart, each with its helper module, and have fingerprints of their own."""
    helper = [source("helper.py", f"SIZE = {size}") for size in (1, 2)]
    first = code.add([net(more="from helper import SIZE", text="First."), helper[0]])
    second = code.add([net(more="from helper import SIZE", text="Second."), helper[1]])
    assert code.cards(first)["my_net"].description == "First."
    assert code.cards(second)["my_net"].description == "Second."
    folder = tmp_path / "code" / first
    assert code.cards(first)["my_net"].code == fingerprint([folder / "helper.py", folder / "net.py"])
    assert code.cards(first) is code.cards(first)


def test_a_broken_file_is_told_with_file_and_line(code: CodeCatalog) -> None:
    """One file that cannot be imported spoils only what it may have declared; the message leads to the line."""
    broken = source("wip/new.py", "from searchd.trainable import trainable\n\nwidth = undefined\n")
    late = source("late.py", NET.format(name="late", text="", more="") + "oops\n")
    syntax = source("z.py", "from searchd.trainable import trainable\n\n\ndef (:\n")
    cards = code.cards(code.add([net(), broken]))
    assert cards["my_net"].name == "my_net"
    with pytest.raises(InvalidArgument, match=r"wip/new\.py: NameError: .*undefined.* \(new\.py:3\); mend the file"):
        cards.get("my_other")
    with pytest.raises(InvalidArgument, match=r"late\.py: NameError: .*oops"):
        code.cards(code.add([net(), late]))["late"]
    with pytest.raises(InvalidArgument, match=r"z\.py: SyntaxError: .*z\.py, line 4"):
        code.cards(code.add([net(), syntax]))["nothing"]


def test_a_name_declared_twice_is_refused(code: CodeCatalog) -> None:
    """Nobody can tell which of two files a study means; what only one of them declares can be had."""
    cards = code.cards(code.add([net("a.py"), net("old/a.py"), net("b.py", "other")]))
    assert cards["other"].name == "other"
    with pytest.raises(InvalidArgument, match=r"old/a\.py: .*the name 'my_net' is taken by .*a\.py:my_net"):
        cards["my_net"]


def test_code_without_a_trainable_is_refused(code: CodeCatalog) -> None:
    """The message shows the import that is missing."""
    with pytest.raises(InvalidArgument, match=r"from searchd\.trainable import trainable"):
        code.cards(code.add([source("net.py", "def my_net(ctx): ...")]))


def test_a_file_that_starts_a_study_when_imported_is_refused(code: CodeCatalog) -> None:
    """It would start one each time that it is read; the message says what to put around it."""
    starts = "from searchd import Client\nClient('localhost:1').create_study(trainable='my_net', code='.')"
    with pytest.raises(InvalidArgument, match=r"started by a file that is imported.*__main__"):
        code.cards(code.add([net(more=starts)]))["my_net"]


def test_unknown_code_is_not_found(code: CodeCatalog) -> None:
    """An id that nobody has added is an error that survives pickling."""
    with pytest.raises(CodeNotFound) as caught:
        code.cards(GHOST)
    assert pickle.loads(pickle.dumps(caught.value)).code_id == GHOST


def test_code_is_found_by_another_server(tmp_path: Path, code: CodeCatalog, clock: VirtualClock) -> None:
    """What one server has kept a second one on the same storage reads."""
    kept = code.add([net()])
    assert "my_net" in CodeCatalog(tmp_path, clock).cards(kept)


def test_unused_code_is_discarded_after_a_while(tmp_path: Path, code: CodeCatalog, clock: VirtualClock) -> None:
    """What no study names goes, unless somebody has just sent or read it; what one names stays."""
    used, unused = code.add([net()]), code.add([net(text="Other.")])
    code.discard(lambda _: False)
    assert len(CodeFolders(tmp_path).ids()) == 2
    clock.advance_to(clock.now() + LATELY + timedelta(seconds=1))
    fresh = code.add([net(text="Fresh.")])
    code.discard(lambda asked: asked == used)
    assert sorted(CodeFolders(tmp_path).ids()) == sorted([used, fresh])
    with pytest.raises(CodeNotFound):
        code.cards(unused)


def test_what_cannot_be_deleted_stops_nothing(tmp_path: Path, code: CodeCatalog, clock: VirtualClock) -> None:
    """Something that is no folder is logged, and the code after it goes."""
    code.add([net()])
    (tmp_path / "code" / GHOST).write_text("a file")
    os.utime(tmp_path / "code" / GHOST, (0, 0))
    clock.advance_to(clock.now() + 2 * LATELY)
    code.discard(lambda _: False)
    assert CodeFolders(tmp_path).ids() == []
