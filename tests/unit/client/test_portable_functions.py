"""Functions of a caller's own as files that a server can import."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from searchd.client.function import ENTRY, portable, written_space
from searchd.domain.card import Card
from searchd.domain.code import SourceFile
from searchd.domain.errors import InvalidArgument
from searchd.domain.space import Float, Parameter
from searchd.engines.simulated import VirtualClock
from searchd.trainable import choice, lograndint, uniform
from searchd.wire.study_file import study_from_mapping
from searchd.worker.code_catalog import CodeCatalog

METRICS = {"y": "minimize"}

PLAIN = """
    from shapes import area

    def plain(ctx):
        yield {"y": area(ctx)}
"""
DECORATED = """
    from searchd.trainable import trainable, uniform
    import shapes

    @trainable(metrics={"y": "minimize"}, space={"x": uniform(0, 1)}, default={"x": 0.5}, name="mine", folds=False)
    def decorated(ctx):
        yield {"y": shapes.area(ctx)}
"""
SHAPES = "def area(x):\n    return 2 * x\n"
SENDS = """
    import json
    from searchd.client.function import portable
    sent = portable({name}, {metrics}, None)
    print(json.dumps([sent.name, {{file.path: file.content.decode() for file in sent.files}}]))
"""
TRAINS = """
    import importlib, sys
    from searchd.trainable import registered
    importlib.import_module(sys.argv[1])
    print(*(metrics["y"] for metrics in registered()[sys.argv[2]].target(21)))
"""


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


def python(folder: Path, *arguments: str, program: str | None = None) -> str:
    """What Python prints there; ``program`` is its standard input, as in a notebook: no file has it."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=textwrap.dedent(program) if program is not None else None,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sent_from(folder: Path, *arguments: str, program: str | None = None) -> tuple[str, list[SourceFile]]:
    name, files = json.loads(python(folder, *arguments, program=program))
    return name, [SourceFile(path, text.encode()) for path, text in files.items()]


def arrived(folder: Path, name: str, files: list[SourceFile]) -> tuple[Card, str]:
    """The card that a server reads of them, and what the function gives of 21, where the sender's folder is gone."""
    code = CodeCatalog(folder, VirtualClock())
    kept = code.add(files)
    module = ENTRY if any(file.path == f"{ENTRY}.py" for file in files) else "net"
    return code.cards(kept)[name], python(folder / "code" / kept, "-c", textwrap.dedent(TRAINS), module, name)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    write(tmp_path / "here", shapes=SHAPES, unrelated="x = 1")
    return tmp_path / "here"


@pytest.mark.parametrize("how", ["script", "import"])
def test_a_decorated_function_goes_as_its_file(here: Path, tmp_path: Path, how: str) -> None:
    """From a script or an imported module go the file and what it imports, and no more."""
    sends = textwrap.dedent(SENDS).format(name="decorated", metrics=None)
    write(here, net=textwrap.dedent(DECORATED) + "if __name__ == '__main__':\n" + textwrap.indent(sends, "    "))
    told = ["net.py"] if how == "script" else ["-c", f"from net import decorated\n{sends}"]
    name, files = sent_from(here, *told)
    assert (name, [file.path for file in files]) == ("mine", ["net.py", "shapes.py"])
    card, printed = arrived(tmp_path, name, files)
    assert (card.space.parameters, card.folds, printed) == ((Parameter("x", Float(0.0, 1.0)),), False, "42\n")


def test_a_plain_function_is_registered_by_a_module_of_its_own(here: Path, tmp_path: Path) -> None:
    """Without a decorator, a generated module imports the function and declares its metrics."""
    write(here, net=PLAIN)
    sends = textwrap.dedent(SENDS).format(name="plain", metrics=METRICS)
    name, files = sent_from(here, "-c", f"from net import plain\n{sends}")
    assert (name, [file.path for file in files]) == ("plain", ["net.py", f"{ENTRY}.py", "shapes.py"])
    card, printed = arrived(tmp_path, name, files)
    assert ({m: g.value for m, g in card.metrics.items()}, printed) == (METRICS, "42\n")


def test_a_function_of_a_package_goes_with_the_package(here: Path, tmp_path: Path) -> None:
    """Relative imports and dotted names mean the same on the server."""
    (here / "pkg").mkdir()
    write(here / "pkg", __init__="", net=PLAIN.replace("from shapes", "from .shapes"), shapes=SHAPES)
    sends = textwrap.dedent(SENDS).format(name="plain", metrics=METRICS)
    name, files = sent_from(here, "-c", f"from pkg.net import plain\n{sends}")
    assert {file.path for file in files} == {"pkg/__init__.py", "pkg/net.py", "pkg/shapes.py", f"{ENTRY}.py"}
    assert arrived(tmp_path, name, files)[1] == "42\n"


@pytest.mark.parametrize("decorated", [False, True])
def test_a_function_of_a_notebook_takes_its_cells_along(here: Path, tmp_path: Path, decorated: bool) -> None:
    """What no file has goes by value, with classes and values of other cells, and modules of the folder as files."""
    cells = """
        import shapes as s
        from searchd.trainable import trainable, uniform
        ZERO = 0

        class Model:
            def area(self, x):
                return s.area(x) + ZERO

        DECORATOR
        def cell(ctx):
            yield {"y": Model().area(ctx)}
    """
    declared = '@trainable(metrics={"y": "minimize"}, space={"x": uniform(0, 1)}, checkpoints=True)'
    cells = textwrap.dedent(cells).replace("DECORATOR", declared if decorated else "")
    sends = textwrap.dedent(SENDS).format(name="cell", metrics=None if decorated else METRICS)
    name, files = sent_from(here, "-", program=cells + sends)
    assert [file.path for file in files] == [f"{ENTRY}.py", "shapes.py"]
    card, printed = arrived(tmp_path, name, files)
    assert (card.checkpoints, card.space.names(), printed) == (decorated, ("x",) if decorated else (), "42\n")


def test_another_version_of_python_is_told(here: Path, tmp_path: Path) -> None:
    """A pickle of another Python is refused with what to do, rather than crash in its bytecode."""
    name, files = sent_from(
        here, "-", program="def f(c):\n    yield 1" + textwrap.dedent(SENDS).format(name="f", metrics=METRICS)
    )
    other = [
        SourceFile(f.path, f.content.replace(repr(tuple(sys.version_info[:2])).encode(), b"(3, 1)")) for f in files
    ]
    code = CodeCatalog(tmp_path, VirtualClock())
    with pytest.raises(InvalidArgument, match="whose pickles fit no other version: put the function into a file"):
        code.cards(code.add(other))[name]


def generator(ctx: Any) -> Iterator[dict[str, float]]:
    yield {"y": ctx}


def function(ctx: Any) -> dict[str, float]:
    return {"y": ctx}


@pytest.mark.parametrize(
    ("given", "metrics", "reason"),
    [
        (function, METRICS, "trainable: function is no generator function and is not registered; let it yield"),
        (generator, None, "metrics: generator declares none; decorate generator with @trainable"),
        (generator, {}, "metrics: generator declares none"),
        (3, METRICS, "trainable: 3 is no generator function"),
    ],
)
def test_what_is_no_trainable_is_told(given: Any, metrics: Any, reason: str) -> None:
    """Before anything is sent or started, the message says what the function lacks."""
    with pytest.raises(InvalidArgument) as refused:
        portable(given, metrics, None)
    assert str(refused.value).startswith(reason)


def test_metrics_are_declared_once() -> None:
    """What the decorator said cannot be said again."""
    from tests.data import trainables_for_tests

    with pytest.raises(InvalidArgument, match="quadratic declares its own"):
        portable(trainables_for_tests.quadratic, METRICS, None)


def test_what_cannot_be_sent_is_told() -> None:
    """A function that holds on to something that no pickle takes is refused with the way out."""
    opened = sys.stdout

    def local(ctx: Any) -> Iterator[dict[str, float]]:
        yield {"y": float(opened.fileno())}

    with pytest.raises(InvalidArgument, match=r"local uses something that cannot be sent.*make it inside"):
        portable(local, METRICS, None)


def test_spaces_may_be_written_either_way() -> None:
    """Python's functions and the study file's shorthand mean the same, also side by side."""
    space = written_space({"a": uniform(0, 1), "b": {"randint": [1, 9]}, "c": choice(["u", 1, None])})
    assert space == {"a": {"uniform": [0.0, 1.0]}, "b": {"randint": [1, 9]}, "c": {"choice": ["u", 1, None]}}
    more = written_space({"d": lograndint(1, 64, when={"c": ["u"]}), **space})
    assert not study_from_mapping({"trainable": "t", "search_space": more}).violations
    assert written_space({}) == {}
