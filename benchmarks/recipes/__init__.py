"""What the trainables that come with searchd gain, each section as its module's first lines say."""

import importlib
import textwrap
from collections.abc import Sequence

from benchmarks.report import WIDTH, Figure, Ratio, Report

SECTIONS = ("tabular", "ensembles", "transfer", "compression")
"""Modules of this package with ``measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]``."""


def measure(quick: bool, sections: Sequence[str] = SECTIONS) -> Report:
    """Run sections one after the other; each may use the whole machine. A module's description is its remark."""
    ratios: list[Ratio] = []
    figures: list[Figure] = []
    remarks: list[str] = []
    for name in sections:
        module = importlib.import_module(f"benchmarks.recipes.{name}")
        of_ratios, of_figures = module.measure(quick)
        ratios += of_ratios
        figures += of_figures
        remarks += textwrap.wrap(f"{name}: {' '.join((module.__doc__ or '').split())}", WIDTH - 2)
    return Report("recipes", tuple(ratios), tuple(figures), tuple(remarks))
