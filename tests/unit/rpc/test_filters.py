"""Filters of lists."""

import pytest

from searchd.domain.errors import InvalidArgument
from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState
from searchd.rpc.filters import study_filter, trial_filter


@pytest.mark.parametrize(
    ("text", "states", "labels"),
    [
        ("", None, {}),
        ("  ", None, {}),
        ("state=RUNNING", {StudyState.RUNNING}, {}),
        ("state = running", {StudyState.RUNNING}, {}),
        ("labels.team=vision", None, {"team": "vision"}),
        ("state=FAILED AND labels.team=vision", {StudyState.FAILED}, {"team": "vision"}),
        ('labels.team="two words AND more" AND labels.a-b="" ', None, {"team": "two words AND more", "a-b": ""}),
    ],
)
def test_terms_joined_by_and_are_read(text: str, states: set[StudyState] | None, labels: dict[str, str]) -> None:
    """A filter names at most one state and any number of labels."""
    assert study_filter(text) == (None if states is None else frozenset(states), labels)


@pytest.mark.parametrize(
    "text",
    [
        *("state", "state=", "state=RUNNING AND", "AND state=RUNNING", "state=RUNNING labels.a=b"),
        *("state=RUNNING OR state=FAILED", "state=RUNNING AND state=FAILED", "state!=RUNNING", "state=NOPE"),
        *("name=x", "labels.=x", "labels=x", 'labels.a="b', "labels.a=b=c", "state=RUNNINGANDlabels.a=b", "x" * 3000),
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    """Anything else is an invalid filter, with a remedy; nothing is silently left out."""
    with pytest.raises(InvalidArgument, match=r"^filter: ") as caught:
        study_filter(text)
    assert caught.value.remedy


def test_trials_are_filtered_by_state_only() -> None:
    """A filter of trials names a state; labels are refused."""
    assert trial_filter("state=COMPLETED") == frozenset({TrialState.COMPLETED})
    assert trial_filter("") is None
    with pytest.raises(InvalidArgument, match=r"trials cannot be filtered by 'labels\.team'"):
        trial_filter("labels.team=vision")
    with pytest.raises(InvalidArgument, match="there is no state 'SUCCEEDED'"):
        trial_filter("state=SUCCEEDED")
