"""What the demo says at its end."""

from dataclasses import replace
from datetime import timedelta

from searchd.cli.demo import summary
from searchd.client.views import read_best, read_study
from searchd.domain.study import StudyState
from searchd.wire.codec import encode_best, encode_study
from tests.unit.client import samples

STUDY = read_study(encode_study(samples.study(StudyState.SUCCEEDED)))
BEST = read_best(encode_best(samples.BEST))


def test_the_gain_over_the_default_and_what_was_saved() -> None:
    """Tuned beside default on the same folds with the interval, epochs saved, and the time to the first trial."""
    assert summary(STUDY, BEST, samples.START - timedelta(seconds=6.14)) == [
        "tuned accuracy over 5 folds: .9833",
        "default configuration on the same folds: .9812",
        "gain .0133, paired and corrected 95% interval [.0041, .0225]",
        "38 trials, 3 of them evaluated fully",
        "fold epochs saved against full evaluation of every trial: 61%",
        "first trial running 6.1 s after the server was started",
        "done after 258.1 s",
    ]


def test_without_a_default_there_is_no_gain() -> None:
    """Where the trainable declares no default configuration nothing is compared."""
    lines = summary(STUDY, replace(BEST, default=None, gain=None), samples.START)
    assert lines[1] == "38 trials, 3 of them evaluated fully"
