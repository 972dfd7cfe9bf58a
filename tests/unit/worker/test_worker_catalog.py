"""Cards, read in a process of their own."""

import os
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from searchd.domain.card import Form
from searchd.domain.errors import InvalidArgument, TrainableNotFound
from searchd.domain.objective import Goal
from searchd.domain.space import Choice, Condition, Float, Integer, Parameter
from searchd.worker.catalog import SubprocessCatalog
from searchd.worker.loading import load_trainable
from searchd.worker.metrics import RefusedReport
from searchd.worker.sources import fingerprint, source_files
from searchd.worker.trial_run import try_once
from tests.unit.worker.worker_harness import DATA, Rows, a_task

MODULE = """
    from searchd.trainable import *
    import my_layers

    @trainable(
        metrics={"accuracy": "maximize"},
        space={
            "width": lograndint(8, 64), "rate": qloguniform(1e-3, 1.0, 1e-3),
            "kind": choice(["a", 1, None]), "depth": grid([1, 2], when={"kind": ["a"]}),
        },
        default={"width": 8, "rate": 0.5, "kind": 1},
        gradients=["accuracy"],
        parent=True,
    )
    def my_net(ctx):
        '''Nets. And more.

        Much more.
        '''
        def helper():
            ctx.keep(net=1)
        yield {"accuracy": 1.0}
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(text))


def test_a_card_tells_what_the_author_declared(tmp_path: Path) -> None:
    """All of a card survives the way from one process to the other, and the server imports nothing of it."""
    write(tmp_path, "my_module", MODULE)
    write(tmp_path, "my_layers", "SIZE = 1")
    card = SubprocessCatalog(["my_module"], [str(tmp_path)], installed=False).cards()["my_net"]
    assert (card.name, card.description, card.form) == ("my_net", "Nets. And more.", Form.GENERATOR)
    assert card.metrics == {"accuracy": Goal.MAXIMIZE}
    assert card.space.parameters == (
        Parameter("width", Integer(8, 64, log=True)),
        Parameter("rate", Float(1e-3, 1.0, log=True, step=1e-3)),
        Parameter("kind", Choice(("a", 1, None))),
        Parameter("depth", Choice((1, 2), grid=True), (Condition("kind", ("a",)),)),
    )
    assert card.default == {"width": 8, "rate": 0.5, "kind": 1}
    assert (card.checkpoints, card.folds, card.gradients, card.parent) == (True, True, ("accuracy",), True)
    assert len(card.code) == 12
    assert "my_module" not in sys.modules


def test_cards_are_read_again_when_a_file_changes(tmp_path: Path) -> None:
    """A change of the module, or of a neighbour that it imports, gives a new fingerprint; otherwise cards are kept."""
    write(tmp_path, "my_module", MODULE)
    write(tmp_path, "my_layers", "SIZE = 1")
    catalog = SubprocessCatalog(["my_module"], [str(tmp_path)], installed=False)
    first = catalog.cards()
    assert catalog.cards()["my_net"] is first["my_net"]
    write(tmp_path, "my_layers", "SIZE = 22")
    second = catalog.cards()
    assert second["my_net"].code != first["my_net"].code
    os.utime(tmp_path / "my_module.py", (1, 1))
    third = catalog.cards()
    assert third["my_net"] is not second["my_net"]
    assert third == second


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    """An edited module is read without importing the others once more."""
    for name in ("one", "two"):
        write(tmp_path, name, MODULE.replace("def my_net", f"def net_{name}"))
    write(tmp_path, "my_layers", "")
    catalog = SubprocessCatalog(["one", "two"], [str(tmp_path)], installed=False)
    first = catalog.cards()
    write(tmp_path, "two", MODULE.replace("def my_net", "def net_two_again"))
    second = catalog.cards()
    assert second["net_one"] is first["net_one"]
    assert sorted(second) == ["net_one", "net_two_again"]


def test_two_modules_may_not_register_the_same_name(tmp_path: Path) -> None:
    """At first that is an error; later it breaks the second module, and nobody else."""
    write(tmp_path, "one", MODULE.replace("def my_net", "def net_one"))
    write(tmp_path, "two", "# two\n" + textwrap.dedent(MODULE.replace("def my_net", "def net_one")))
    write(tmp_path, "my_layers", "")
    catalog = SubprocessCatalog(["one", "two"], [str(tmp_path)], installed=False)
    with pytest.raises(InvalidArgument, match="two: it registers 'net_one'"):
        catalog.cards()
    write(tmp_path, "two", MODULE.replace("def my_net", "def net_two"))
    first = catalog.cards()
    assert sorted(first) == ["net_one", "net_two"]
    write(tmp_path, "two", "# two\n" + textwrap.dedent(MODULE.replace("def my_net", "def net_one")))
    cards = catalog.cards()
    assert dict(cards) == {"net_one": first["net_one"]}
    with pytest.raises(InvalidArgument, match="two: it registers 'net_one'"):
        cards["net_two"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise RuntimeError('broken on purpose')", "two: RuntimeError: broken on purpose"),
        ("def (:", "two: SyntaxError: "),
        ("import os; os._exit(4)", "trainables: importing them ended the process with code 4"),
        (None, "two: ModuleNotFoundError: No module named 'two'"),
    ],
)
def test_a_module_that_breaks_later_blocks_nobody_else(tmp_path: Path, text: str | None, reason: str) -> None:
    """The other modules' cards are there, and until it is mended a missing name is answered with what is broken."""
    for name in ("one", "two"):
        write(tmp_path, name, MODULE.replace("def my_net", f"def net_{name}"))
    write(tmp_path, "my_layers", "")
    catalog = SubprocessCatalog(["one", "two"], [str(tmp_path)], installed=False)
    first = catalog.cards()
    assert sorted(first) == ["net_one", "net_two"]
    with pytest.raises(KeyError):
        first["net_three"]
    if text is None:
        (tmp_path / "two.py").unlink()
    else:
        write(tmp_path, "two", text)
    for _ in range(2):
        cards = catalog.cards()
        assert list(cards) == ["net_one"]
        assert cards.get("net_one") is first["net_one"]
        for look in (cards.__getitem__, cards.get, cards.__contains__):
            with pytest.raises(InvalidArgument) as refused:
                look("net_two")
            assert str(refused.value).startswith(reason)
    write(tmp_path, "two", MODULE.replace("def my_net", "def net_two"))
    assert sorted(catalog.cards()) == ["net_one", "net_two"]


def test_a_broken_module_is_not_read_again_until_it_changes(tmp_path: Path) -> None:
    """Whoever asks for cards does not wait for an import that is known to fail."""
    write(tmp_path, "counted", MODULE)
    write(tmp_path, "my_layers", "")
    catalog = SubprocessCatalog(["counted"], [str(tmp_path)], installed=False)
    catalog.cards()
    write(tmp_path, "counted", f"open({str(tmp_path / 'count')!r}, 'a').write('x')\nraise RuntimeError('broken')")
    for _ in range(3):
        assert list(catalog.cards()) == []
    assert (tmp_path / "count").read_text() == "x"


def test_a_broken_module_is_named_and_read_again_once_mended(tmp_path: Path) -> None:
    """The error names the module and its last error line; after the repair the cards are there."""
    write(tmp_path, "my_module", "print('loud')\nraise RuntimeError('first\\nbroken on purpose')")
    catalog = SubprocessCatalog(["my_module"], [str(tmp_path)], installed=False)
    with pytest.raises(InvalidArgument) as refused:
        catalog.cards()
    assert (refused.value.field, refused.value.reason) == ("my_module", "broken on purpose (my_module.py:2)")
    write(tmp_path, "my_module", "print('loud')\n" + textwrap.dedent(MODULE))
    write(tmp_path, "my_layers", "")
    assert list(catalog.cards()) == ["my_net"]


def test_modules_that_end_the_process_or_are_missing_are_errors(tmp_path: Path) -> None:
    """Neither a missing module nor one that calls os._exit takes the server along."""
    with pytest.raises(InvalidArgument, match="no_such_module: ModuleNotFoundError: No module named 'no_such_module'"):
        SubprocessCatalog(["no_such_module"], [], installed=False).cards()
    write(tmp_path, "leaver", "import os; os._exit(4)")
    with pytest.raises(InvalidArgument, match="trainables: importing them ended the process with code 4"):
        SubprocessCatalog(["leaver"], [str(tmp_path)], installed=False).cards()


def test_one_reading_serves_all_that_wait(tmp_path: Path) -> None:
    """Threads that ask at the same time get the same cards from one subprocess."""
    write(tmp_path, "counted", f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n")
    catalog = SubprocessCatalog(["counted"], [str(tmp_path)], installed=False)
    threads = [threading.Thread(target=catalog.cards) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "x"


def test_sources_of_packages_and_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package is all its files; a module in one brings the siblings that it imports, however deep, and no others."""
    package = tmp_path / "kit_for_tests"
    (package / "deep").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "net": "from . import layers\nimport json",
        "layers": "from .deep.blocks import Block",
        "unused": "",
    }.items():
        write(package, name, text)
    write(package / "deep", "__init__", "")
    write(package / "deep", "blocks", "from .. import norms\nclass Block: pass")
    write(package, "norms", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        net = [str(f.relative_to(package)) for f in source_files("kit_for_tests.net")]
        assert net == ["deep/blocks.py", "layers.py", "net.py", "norms.py"]
        assert len(source_files("kit_for_tests")) == 7
        assert source_files("no_such_module_at_all") == ()
    finally:
        for name in [n for n in sys.modules if n.startswith("kit_for_tests")]:
            del sys.modules[name]


def test_fingerprints_see_contents_and_names(tmp_path: Path) -> None:
    """Another content or another name is another fingerprint; another folder is not."""
    one, two, three = tmp_path / "a.py", tmp_path / "b.py", tmp_path / "sub/a.py"
    three.parent.mkdir()
    for file in (one, two, three):
        file.write_text("x = 1")
    assert fingerprint([one]) == fingerprint([three])
    assert len({fingerprint([one]), fingerprint([two]), fingerprint([one, two])}) == 3
    three.write_text("x = 2")
    assert fingerprint([one]) != fingerprint([three])


def test_an_unknown_trainable_names_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a name that no module registers says which names there are."""
    monkeypatch.syspath_prepend(str(DATA))
    with pytest.raises(TrainableNotFound) as missing:
        load_trainable("unheard_of", ("trainables_for_tests",), installed=False)
    assert "quadratic" in missing.value.known


def test_trying_once_trains_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch's metrics come back, and what the trainable raises is raised here, for a debugger to see."""
    monkeypatch.syspath_prepend(str(DATA))

    def attempt(name: str) -> float:
        tried = try_once(
            a_task(name, epochs=9),
            {"x": 1.0, "rate": 0.25},
            datasets=Rows(),
            modules=("trainables_for_tests",),
            installed=False,
            storage=tmp_path,
            device="cpu",
        )
        assert tried.seconds >= 0
        return tried.metrics["loss"]

    assert attempt("quadratic") == 0.25
    with pytest.raises(ValueError, match="the numbers do not add up"):
        attempt("raises")
    with pytest.raises(RefusedReport, match="never reported"):
        attempt("silent")
    assert list(tmp_path.iterdir()) == []
