"""``python -m benchmarks.recipes [SECTION]... [--quick]``: some sections alone."""

import argparse
import os

from benchmarks.recipes import SECTIONS, measure
from benchmarks.report import table


def main() -> None:
    """Run the sections that are named, or all, and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: a look, not a result")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; use {', '.join(SECTIONS)}")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    print(table(measure(chosen.quick, chosen.sections or SECTIONS)))


if __name__ == "__main__":
    main()
