"""The page of guarantees: each test that it names is there, and it leaves no place of a fault out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_tests_exist(file: str, name: str) -> None:
    """Every test that is named as a proof is a test in that file."""
    assert re.search(rf"^\s*(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_promise_and_every_fault_names_a_test() -> None:
    """Each promise is followed by at least one test, and each row of the catalogue ends with one."""
    promises, catalogue = PAGE.split("## Catalogue")
    told = promises.split("## Promises")[1].strip().split("\n\n")
    assert len(told) > 10
    assert [promise.splitlines()[0] for promise in told if "`tests/" not in promise] == []
    rows = [line for line in catalogue.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 25
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py::\w+` \|$", row)] == []
