"""Search quality: every algorithm against its peers, each section as its module's first lines say."""

import importlib
import textwrap

from benchmarks.report import WIDTH, Figure, Ratio, Report
from benchmarks.search.processes import processes

ALONE = "latency"
"""The section that measures time, and so is run by itself."""

SECTIONS = ("blackbox", "folds", "asha", "fidelity", "transfer", "confirmation")
"""Modules of this package with ``measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]``."""


def measure(quick: bool) -> Report:
    """Run the section that needs the machine for itself, then the others side by side."""
    ratios: list[Ratio] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    alone = section(ALONE, quick)
    with processes() as pool:
        found = [*pool.map(section, SECTIONS, [quick] * len(SECTIONS)), alone]
    for of in found:
        ratios += of.ratios
        figures += of.figures
        remarks += of.remarks
    return Report("search", tuple(ratios), tuple(figures), tuple(remarks))


def section(name: str, quick: bool) -> Report:
    """What a section found; its module's description is the remark."""
    module = importlib.import_module(f"benchmarks.search.{name}")
    ratios, figures = module.measure(quick)
    described = textwrap.wrap(f"{name}: {' '.join((module.__doc__ or '').split())}", WIDTH - 2)
    return Report(name, tuple(ratios), tuple(figures), tuple(described))
