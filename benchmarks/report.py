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
    """A number of this machine and run; ``unit`` is for reading, the name says it too."""

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


def table(report: Report) -> str:
    """The report as text of at most 80 columns: ratios, then figures, then remarks."""
    rows = [(r.name, f"{r.value:.4g}", "x", r.aim, r.value) for r in report.ratios]
    rows += [(f.name, f"{f.value:.4g}", f.unit, f.aim, f.value) for f in report.figures]
    wide = max((len(row[0]) for row in rows), default=0)
    lines = [f"{report.benchmark} on {machine()}"]
    for name, value, unit, aim, exact in rows:
        judged = "" if aim is None else f"aim {aim}: {aim.verdict(exact)}"
        lines.append(f"  {name:<{wide}}  {value:>8} {unit:<9} {judged}".rstrip())
    return "\n".join([*lines, *(f"  {remark}" for remark in report.remarks)])


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
