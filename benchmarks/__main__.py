"""``python -m benchmarks NAME [--quick] [--json FILE] [--markdown FILE]``."""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Report, markdown, table, write

NAMES = ("throughput", "utilisation", "footprint", "latency", "scale", "faults", "search", "recipes")
"""Each is a module or a package of this one with ``measure(quick: bool) -> Report``."""


def main(arguments: Sequence[str]) -> None:
    """Run what is named, print a table for each, and write the JSON and the page that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a look, not a result")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write ratios and figures here")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here as a page")
    chosen = parser.parse_args(arguments)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    reports: list[Report] = []
    for name in NAMES if chosen.name == "all" else (chosen.name,):
        began = time.monotonic()
        report: Report = importlib.import_module(f"benchmarks.{name}").measure(chosen.quick)
        reports.append(report)
        print(table(report))
        print(f"  took {time.monotonic() - began:.0f} s{', quick' if chosen.quick else ''}\n", flush=True)
    if chosen.json is not None:
        write(chosen.json, chosen.name, reports)
    if chosen.markdown is not None:
        chosen.markdown.write_text(markdown(reports))


if __name__ == "__main__":
    main(sys.argv[1:])
