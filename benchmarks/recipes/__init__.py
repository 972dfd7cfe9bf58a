"""What the trainables that come with searchd gain, each section as its module's first lines say."""

import importlib
import textwrap

from benchmarks.report import WIDTH, Figure, Ratio, Report

SECTIONS = ("tabular", "ensembles")
"""Modules of this package with ``measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]``."""


def measure(quick: bool) -> Report:
    """Run the sections one after the other; each may use the whole machine. A module's description is its remark."""
    ratios: list[Ratio] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    for name in SECTIONS:
        module = importlib.import_module(f"benchmarks.recipes.{name}")
        of_ratios, of_figures = module.measure(quick)
        ratios += of_ratios
        figures += of_figures
        remarks += textwrap.wrap(f"{name}: {' '.join((module.__doc__ or '').split())}", WIDTH - 2)
    return Report("recipes", tuple(ratios), tuple(figures), tuple(remarks))
