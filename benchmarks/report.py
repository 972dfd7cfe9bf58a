"""What a benchmark found, as a table and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Aim:
    """What a value should be: at least ``bound``, or at most."""

    bound: float
    at_least: bool = True

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"

    def verdict(self, value: float) -> str:
        """Whether a value meets the aim, and if not, by how much of the bound it misses, or by how much."""
        short = self.bound - value if self.at_least else value - self.bound
        if short <= 0:
            return "met"
        return f"missed by {short / self.bound:.0%}" if self.bound else f"missed by {short:g}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over a peer's, measured in the same run; more is better."""

    peer: str
    value: float
    aim: Aim | None = None

    @property
    def name(self) -> str:
        """The stable name."""
        return f"searchd/{self.peer}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of this machine and run; ``unit`` is for reading, the name says it too. One that is named
    ``title/row/column`` is a cell of a grid."""

    name: str
    value: float
    unit: str
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark. ``remarks`` say what the numbers leave out."""

    benchmark: str
    ratios: tuple[Ratio, ...]
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...] = ()


Grid = dict[str, dict[str, float]]
"""Values by row and column."""


def table(report: Report) -> str:
    """The report as text of at most 80 columns: ratios, then figures, then grids, then remarks."""
    rows = _rows(report)
    wide = max((len(row[0]) for row in rows), default=0)
    lines = [f"{report.benchmark} on {machine()}"]
    lines += [f"  {name:<{wide}}  {value:>8} {unit:<9} {judged}".rstrip() for name, value, unit, judged in rows]
    for title, grid in grids(report).items():
        lines += _grid_lines(title, grid)
    return "\n".join([*lines, *(f"  {remark}" for remark in report.remarks)])


def markdown(reports: Sequence[Report]) -> str:
    """Reports as a page of Markdown tables, in the order of ``table``."""
    lines = [f"# {', '.join(report.benchmark for report in reports)}", "", f"Measured on {machine()}."]
    for report in reports:
        lines += ["", *report.remarks, *_markdown_table(("", "value", "unit", "aim"), _rows(report))]
        for title, grid in grids(report).items():
            columns = _columns(grid)
            cells = [(row, *(_number(of.get(column)) for column in columns)) for row, of in grid.items()]
            lines += ["", f"## {title}", *_markdown_table(("", *columns), cells)]
    return "\n".join(lines) + "\n"


def grids(report: Report) -> dict[str, Grid]:
    """The figures that are cells, by title, row and column, in their order."""
    found: dict[str, Grid] = {}
    for figure in report.figures:
        if _is_cell(figure):
            title, row, column = figure.name.split("/")
            found.setdefault(title, {}).setdefault(row, {})[column] = figure.value
    return found


def _is_cell(figure: Figure) -> bool:
    return figure.name.count("/") == 2


def _rows(report: Report) -> list[tuple[str, str, str, str]]:
    named = [(r.name, r.value, "x", r.aim) for r in report.ratios]
    named += [(f.name, f.value, f.unit, f.aim) for f in report.figures if not _is_cell(f)]
    return [
        (name, _number(value), unit, "" if aim is None else f"aim {aim}: {aim.verdict(value)}")
        for name, value, unit, aim in named
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _columns(grid: Grid) -> list[str]:
    return list(dict.fromkeys(column for row in grid.values() for column in row))


def _grid_lines(title: str, grid: Grid) -> list[str]:
    """As many columns beside each other as fit, then the rest below."""
    columns = _columns(grid)
    side = max(map(len, (title, *grid)))
    wide = max(8, *map(len, columns))
    most = max((WIDTH - 2 - side) // (wide + 1), 1)
    lines = []
    for start in range(0, len(columns), most):
        shown = columns[start : start + most]
        lines.append(f"  {title:<{side}}" + "".join(f" {column:>{wide}}" for column in shown))
        for row, of in grid.items():
            lines.append(f"  {row:<{side}}" + "".join(f" {_number(of.get(column)):>{wide}}" for column in shown))
    return [line.rstrip() for line in lines]


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["", *(f"| {' | '.join(line)} |" for line in lines)]


def document(benchmark: str, reports: Sequence[Report]) -> dict[str, object]:
    """Reports as one JSON object with ``benchmark``, ``machine``, ``ratios`` and ``figures`` (both by name).

    Raises:
        ValueError: two reports use the same name.
    """
    ratios: dict[str, float] = {}
    figures: dict[str, float] = {}
    for report in reports:
        for ratio in report.ratios:
            _put(ratios, ratio.name, ratio.value)
        for figure in report.figures:
            _put(figures, figure.name, figure.value)
    return {"benchmark": benchmark, "machine": machine(), "ratios": ratios, "figures": figures}


def write(path: Path, benchmark: str, reports: Sequence[Report]) -> None:
    """Write the JSON of reports to a file."""
    path.write_text(json.dumps(document(benchmark, reports), indent=2) + "\n")


def machine() -> str:
    """Processors, memory, system and Python, in one line."""
    gigabytes = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} x {_processor()}, {gigabytes:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _put(values: dict[str, float], name: str, value: float) -> None:
    if name in values:
        raise ValueError(f"two benchmarks report {name!r}; rename one")
    values[name] = value
