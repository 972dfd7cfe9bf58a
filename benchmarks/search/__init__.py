"""Search quality: every algorithm against its peers, each section as its module's first lines say."""

import importlib
import textwrap
from concurrent.futures import ThreadPoolExecutor

from benchmarks.report import WIDTH, Figure, Ratio, Report
from benchmarks.search.processes import processes

ALONE = "latency"
"""The section that measures time, and so is run by itself."""

SECTIONS = ("blackbox", "folds", "asha", "fidelity", "transfer", "confirmation")
"""Modules of this package with ``measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]``."""

IN_ONE_PROCESS = ("asha", "folds", "confirmation")
"""Those that do not divide their work among the processes themselves."""


def measure(quick: bool) -> Report:
    """Run the section that needs the machine for itself, then the others side by side, those first that are in one
    process each and so might be waited for at the end."""
    ratios: list[Ratio] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    alone = section(ALONE, quick)
    with ThreadPoolExecutor() as threads:
        begun = {name: processes().submit(section, name, quick) for name in IN_ONE_PROCESS}
        begun |= {name: threads.submit(section, name, quick) for name in SECTIONS if name not in begun}
        found = [begun[name].result() for name in SECTIONS]
    for of in (*found, alone):
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
