"""The benchmarks' frame: what is printed and written, without measuring anything."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.report import WIDTH, Aim, Figure, Ratio, Report, document, machine, markdown, table, write
from benchmarks.scale import Size, run
from benchmarks.search import ALONE, SECTIONS, section

REPORT = Report(
    "throughput",
    (Ratio("bare_loop", 0.9, Aim(0.8)), Ratio("ray_tune_fastest", 20.0, Aim(25))),
    (Figure("mb_per_study", 1.5, "MB", Aim(1.0, at_least=False)), Figure("solo_seconds", 1.49, "s")),
    ("a remark",),
)


def test_ratios_come_first_and_aims_are_judged() -> None:
    """A table has the machine, then ratios, figures and remarks in this order, each aim with its verdict."""
    lines = table(REPORT).splitlines()
    assert lines[0] == f"throughput on {machine()}"
    assert [line.split()[0] for line in lines[1:]] == [
        "searchd/bare_loop",
        "searchd/ray_tune_fastest",
        "mb_per_study",
        "solo_seconds",
        "a",
    ]
    assert lines[1].endswith("aim >= 0.8: met")
    assert lines[2].endswith("aim >= 25: missed by 20%")
    assert lines[3].endswith("aim <= 1: missed by 50%")
    assert "aim" not in lines[4]
    assert max(map(len, lines[1:])) <= WIDTH


def test_an_aim_of_nothing_is_judged() -> None:
    """Where there should be none, what there is is how much the aim was missed by."""
    none = Aim(0, at_least=False)
    assert [none.verdict(count) for count in (0, 3)] == ["met", "missed by 3"]


GRID = Report(
    "search",
    (Ratio("random", 2.0),),
    tuple(Figure(f"area/{task}/arm_{i}", i + 0.5, "") for task in ("branin", "small") for i in range(9)),
    ("a remark",),
)


def test_figures_named_as_cells_are_shown_as_a_grid() -> None:
    """Cells of one title are a table by row and column, cut into blocks where it is too wide."""
    lines = table(GRID).splitlines()
    assert lines[2].split() == ["area", *(f"arm_{i}" for i in range(8))]
    assert lines[3].split() == ["branin", *(f"{i}.5" for i in range(8))]
    assert lines[5].split() == ["area", "arm_8"]
    assert lines[-2].split() == ["small", "8.5"]
    assert max(map(len, lines[1:])) <= WIDTH


def test_a_grid_keeps_missing_cells_empty() -> None:
    """A row without a column's value has nothing there, on paper and on the page."""
    report = Report("search", (), (Figure("area/a/x", 1.0, ""), Figure("area/b/y", 2.0, "")))
    assert table(report).splitlines()[-2].split() == ["a", "1"]
    assert "| a | 1 |  |" in markdown([report])


def test_a_page_has_the_machine_and_all_tables() -> None:
    """The Markdown of a report says where it was measured, then ratios, then a table for each grid."""
    page = markdown([GRID]).splitlines()
    assert page[0] == "# search"
    assert machine() in page[2]
    assert "a remark" in page
    assert page.index("| searchd/random | 2 | x |  |") < page.index("## area")
    assert "| small | 0.5 | 1.5 | 2.5 | 3.5 | 4.5 | 5.5 | 6.5 | 7.5 | 8.5 |" in page


def test_the_json_has_four_keys(tmp_path: Path) -> None:
    """A written report has the benchmark, the machine, and ratios and figures by name."""
    path = tmp_path / "report.json"
    write(path, "throughput", [REPORT])
    assert json.loads(path.read_text()) == {
        "benchmark": "throughput",
        "machine": machine(),
        "ratios": {"searchd/bare_loop": 0.9, "searchd/ray_tune_fastest": 20.0},
        "figures": {"mb_per_study": 1.5, "solo_seconds": 1.49},
    }


def test_the_command_writes_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run leaves its JSON and its page in the files that are named."""
    module = ModuleType("benchmarks.throughput")
    vars(module)["measure"] = lambda quick: GRID
    monkeypatch.setitem(sys.modules, module.__name__, module)
    numbers, page = tmp_path / "report.json", tmp_path / "report.md"
    main(["throughput", "--json", str(numbers), "--markdown", str(page)])
    assert json.loads(numbers.read_text())["figures"]["area/small/arm_8"] == 8.5
    assert page.read_text() == markdown([GRID])


def test_sections_of_search_make_one_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section's module says in its first lines what its numbers are, and that is the report's remark."""
    module = ModuleType("benchmarks.search.made_up", "What is\nmeasured.")
    vars(module)["measure"] = lambda quick: ([Ratio("peer", 2.0)], [Figure("quick", quick, "")])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    report = section("made_up", True)
    assert report == Report(
        "made_up", (Ratio("peer", 2.0),), (Figure("quick", 1, ""),), ("made_up: What is measured.",)
    )


@pytest.mark.parametrize("name", [ALONE, *SECTIONS])
def test_every_section_can_be_measured(name: str) -> None:
    """Each section that is listed is a module with something to measure."""
    assert callable(importlib.import_module(f"benchmarks.search.{name}").measure)


def test_names_are_unique_over_benchmarks() -> None:
    """Reports that share a name cannot be written as one."""
    other = Report("other", (), (Figure("solo_seconds", 1.0, "s"),))
    with pytest.raises(ValueError, match="solo_seconds"):
        document("all", [REPORT, other])


def test_every_name_can_be_run_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The command knows its benchmarks, and refuses others with exit code 2."""
    with pytest.raises(SystemExit) as refused:
        main(["nonsense"])
    assert refused.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in (*NAMES, "all"))


def test_a_small_simulation_ends() -> None:
    """The simulated service of the scale benchmark decides on every trial, and all its studies end."""
    assert run(Size(workers=10, studies=2, trials=20)).inputs >= 20


def test_a_tenth_is_a_tenth_of_everything() -> None:
    """The smaller service that scale compares with has a tenth of the workers, studies and trials."""
    assert Size(1000, 100, 10_000).tenth() == Size(100, 10, 1000)
