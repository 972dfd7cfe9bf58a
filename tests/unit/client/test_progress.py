"""How a study is doing, as text of 80 columns."""

from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.client.leaderboard import Leaderboard
from searchd.client.lines import event_line, event_lines
from searchd.client.progress import Picture, header, ranking
from searchd.client.troubles import Troubles
from searchd.client.views import Study, read_study, read_trial
from searchd.client.watch import Event
from searchd.domain.failure import Failure
from searchd.domain.study import Progress, StudyState
from searchd.domain.trial import TrialState
from searchd.v1 import study_service_pb2
from searchd.wire.codec import encode_leaderboard, encode_study, encode_trial
from tests.unit.client import samples

NOW = samples.START + timedelta(minutes=4, seconds=12)


def seen(state: StudyState = StudyState.RUNNING, reason: str = "", progress: Progress = samples.PROGRESS) -> Study:
    return read_study(encode_study(samples.study(state, reason, progress)))


def event(value: object) -> Event:
    return Event(1, samples.START, value, message=study_service_pb2.WatchStudyResponse())  # type: ignore[arg-type]


def troubles(*failures: Failure | None, reason: str = "") -> Troubles:
    found = Troubles()
    for number, failure in enumerate(failures, start=1):
        failed = samples.trial(number, state=TrialState.FAILED, reason=reason, failure=failure)
        found.add(read_trial(encode_trial(failed, {})))
    return found


def test_the_header_says_how_far_it_is() -> None:
    """State, time, counts, time left; best and default; what went wrong with failed trials; rungs."""
    assert header(seen(), NOW, troubles(Failure.OUT_OF_MEMORY, Failure.OUT_OF_MEMORY), 80) == [
        "digits-cnn RUNNING 04:12   38/200 trials   8/8 slots busy   ETA 18m",
        "best .9833 (#17)   default .97   failed 2: out of memory",
        "rungs 1x1:38  1x3:13  1x9:5  1x27:3  5x27:3",
    ]


def test_the_header_of_an_ended_study_says_what_was_saved() -> None:
    """Time stands still, nothing is busy, and the share of fold epochs that were not needed is shown."""
    assert header(seen(StudyState.SUCCEEDED, "all 200 trials are done"), NOW + timedelta(days=1), Troubles(), 80) == [
        "digits-cnn SUCCEEDED 04:12   38/200 trials",
        "best .9833 (#17)   default .97   epochs saved 61%   failed 2",
        "rungs 1x1:38  1x3:13  1x9:5  1x27:3  5x27:3",
        "all 200 trials are done",
    ]


@pytest.mark.parametrize(
    ("found", "summary"),
    [
        (troubles(), "failed 3"),
        (troubles(None, reason="CUDA out of memory"), "failed 3: CUDA out of memory"),
        (troubles(Failure.HUNG, Failure.OUT_OF_MEMORY, Failure.OUT_OF_MEMORY), "failed 3: 2 out of memory, 1 hung"),
        (troubles(*[Failure.ERROR] * 3, reason="a\n\x1b[2J"), r"failed 3: error (last: a \x1b[2J)"),
        (troubles(Failure.NODE_LOST, reason="gone"), "failed 3: 1 node lost (last: gone)"),
    ],
)
def test_failed_trials_are_counted_by_failure(found: Troubles, summary: str) -> None:
    """The most frequent failure comes first; of trials that were not seen nothing is claimed."""
    assert found.summary({"failed": 3}) == [summary]


def test_infeasible_trials_are_told_before_failed_ones() -> None:
    """Their number is never cut off by what is said of failures, and their reason is told where nothing failed."""
    found = troubles(Failure.HUNG)
    infeasible = samples.trial(9, state=TrialState.INFEASIBLE, reason="loss is nan", failure=Failure.NOT_FINITE)
    found.add(read_trial(encode_trial(infeasible, {})))
    assert found.summary({"infeasible": 4, "failed": 1}) == ["infeasible 4", "failed 1: hung"]
    assert found.summary({"infeasible": 4}) == ["infeasible 4: loss is nan"]
    assert found.summary({"completed": 4}) == []


def test_a_trial_that_failed_counts_once() -> None:
    """A trial that is told twice, as after a lost connection, is one failure."""
    found = troubles(Failure.HUNG)
    found.add(read_trial(encode_trial(samples.trial(1, state=TrialState.FAILED, failure=Failure.HUNG), {})))
    assert found.summary({"failed": 2}) == ["failed 2: 1 hung"]


def test_a_study_whose_trials_all_failed_saved_nothing() -> None:
    """Epochs that were not trained because trials failed are not called saved."""
    progress = Progress(trials={"failed": 20}, rungs=(0,), epochs=1, full_epochs=1000)
    lines = header(seen(StudyState.FAILED, "no trial completed", progress), NOW, Troubles(), 80)
    assert lines == ["digits-cnn FAILED 04:12   20/200 trials", "failed 20", "no trial completed"]


def test_follow_ups_are_no_trials_of_the_budget() -> None:
    """Confirmations and tests are counted by themselves, so that no study has more trials than its budget."""
    progress = Progress(trials={"completed": 23}, rungs=(20,), follow_ups=3)
    lines = header(seen(StudyState.SUCCEEDED, "", progress), NOW, Troubles(), 80)
    assert lines[0] == "digits-cnn SUCCEEDED 04:12   20/200 trials   3 follow-ups"


def test_the_header_of_a_new_study_is_short() -> None:
    """What is not known yet is left out, and a long line is cut."""
    lines = header(seen(StudyState.PENDING, "x" * 200, Progress()), samples.START, Troubles(), 80)
    assert lines[0] == "digits-cnn PENDING 00:00   0/200 trials   0/8 slots busy"
    assert lines[1] == "x" * 79 + "…"
    assert len(lines) == 2


def test_the_ranking_fits_80_columns() -> None:
    """Rank, trial, mean with its error, difference with ties, fidelity, cost, parameters; partial trials below."""
    board = Leaderboard(encode_leaderboard(samples.LEADERBOARD))
    assert ranking(board.study, list(board), 80) == [
        "#  trial  accuracy      vs #1        folds  epoch   min      lr  optimizer",
        "1     17  .9833 ±.0031  -              5/5     27  14.2  3.1e-3  adam",
        "2     29  .9812 ±.0042  -.0021 tied    5/5     27  14.2  2.2e-3  adam",
        "  partial",
        "-     41  .9860         -              1/5      9  14.2     .04  sgd",
    ]


def test_a_wide_terminal_shows_more_parameters() -> None:
    """Those that differ between trials come first, then the others."""
    board = Leaderboard(encode_leaderboard(samples.LEADERBOARD))
    assert ranking(board.study, list(board), 120)[0].split()[-5:] == [
        "lr",
        "optimizer",
        "channels",
        "layers",
        "dropout",
    ]


def test_the_picture_follows_the_events() -> None:
    """Counts and states are the newest, and failed trials are counted by failure."""
    picture = Picture(seen(StudyState.PENDING, progress=Progress()))
    reason = "CUDA out of memory"
    failed = samples.trial(3, state=TrialState.FAILED, scores=(), reason=reason, failure=Failure.OUT_OF_MEMORY)
    for value in (seen(), read_trial(encode_trial(failed, {})), replace(samples.PROGRESS, busy=3)):
        picture.add(event(value))
    assert picture.lines(NOW, 80)[:2] == [
        "digits-cnn RUNNING 04:12   38/200 trials   3/8 slots busy   ETA 18m",
        "best .9833 (#17)   default .97   failed 2: 1 out of memory (last: CUDA out of m…",
    ]


def test_events_are_lines() -> None:
    """One line for each change of the study and of trials; counts are not told."""
    at = f"{samples.START.astimezone():%H:%M:%S}"
    failed = samples.trial(3, state=TrialState.FAILED, scores=(0.9,), reason="out of\nmemory")
    hung = samples.trial(5, state=TrialState.FAILED, scores=(), reason="\x1b[2J", failure=Failure.HUNG)
    new = samples.trial(4, state=TrialState.PENDING, scores=())
    assert event_line(event(seen(StudyState.STOPPED, "stopped by a caller"))) == (
        f"{at} study STOPPED: stopped by a caller"
    )
    assert (
        event_line(event(read_trial(encode_trial(failed, {})))) == f"{at} trial 3 FAILED rung 1 score .9: out of memory"
    )
    assert event_line(event(read_trial(encode_trial(hung, {})))) == rf"{at} trial 5 FAILED (hung): \x1b[2J"
    assert event_line(event(read_trial(encode_trial(new, {})))) == (
        f"{at} trial 4 PENDING channels=32 layers=2 lr=3.1e-3 optimizer=adam"
    )
    assert event_line(event(samples.PROGRESS)) is None


def test_a_trial_that_looks_as_before_is_no_line() -> None:
    """A trial changes with every segment; what its last line said is not said again, until another one was."""
    runs, paused = (
        event(read_trial(encode_trial(samples.trial(3, state=state, scores=(0.9,)), {})))
        for state in (TrialState.RUNNING, TrialState.PAUSED)
    )
    other = event(read_trial(encode_trial(samples.trial(4, state=TrialState.RUNNING, scores=()), {})))
    told = [line.split(" ", 1)[1] for line in event_lines([runs, other, runs, event(samples.PROGRESS), paused, runs])]
    running, waiting = "trial 3 RUNNING rung 1 score .9", "trial 3 PAUSED rung 1 score .9"
    assert told == [running, "trial 4 RUNNING", waiting, running]


def test_the_time_left_is_no_more_than_the_budget_has() -> None:
    """A study whose time is over in three minutes has no more than three minutes left, whatever its trials need."""
    study = samples.study()
    budget = replace(study.spec.budget, wall_time=timedelta(minutes=7, seconds=12))
    limited = read_study(encode_study(replace(study, spec=replace(study.spec, budget=budget))))
    first = header(limited, samples.START + timedelta(minutes=4, seconds=12), Troubles(), 80)[0]
    assert first.endswith("ETA 3m")
