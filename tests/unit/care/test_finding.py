"""What a check found."""

import pickle

import pytest

from searchd.care.errors import CareRefused, DamagedBackup, NotWritten
from searchd.care.finding import SHOWN, problem
from searchd.domain.errors import SearchdError


def test_details_are_bounded() -> None:
    """A finding names at most so many things, and says how many more there are."""
    found = problem("records", "message", "remedy", [f"trial {n}" for n in range(SHOWN + 1500)])
    assert found.details[:2] == ("trial 0", "trial 1")
    assert found.details[SHOWN:] == ("and 1,500 more",)
    assert problem("records", "message", "remedy", ["one"]).details == ("one",)


def test_details_can_always_be_printed() -> None:
    """Control characters and broken text of a damaged store are shown as escapes."""
    found = problem("records", "message", "remedy", ["study \x1b[2J\n\udc80 ü"])
    assert found.details == ("study \\x1b[2J\\n\\udc80 ü",)
    assert found.details[0].encode()


@pytest.mark.parametrize("error", [DamagedBackup("f", "r"), CareRefused("r", "do this"), NotWritten("f", "r")])
def test_errors_carry_their_fields(error: SearchdError) -> None:
    """Errors survive pickling, and say in one line what is wrong and what to do."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again), str(again)) == (type(error), vars(error), str(error))
    assert ";" in str(error)
    assert "\n" not in str(error)
