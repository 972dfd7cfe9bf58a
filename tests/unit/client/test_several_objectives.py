"""Several objectives and limits, as text of 80 columns."""

from dataclasses import replace
from datetime import timedelta

import pytest

from searchd.client.insight import ParetoFront
from searchd.client.leaderboard import Leaderboard
from searchd.client.progress import Picture, header, ranking, search_lines
from searchd.client.troubles import Troubles
from searchd.client.views import Study, read_study, read_trial
from searchd.domain.insight import ParetoTrial
from searchd.domain.leaderboard import Leaderboard as Ranking
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.scheduler import Scheduler
from searchd.domain.study import FrontPoint, StudyState
from searchd.domain.trial import Origin
from searchd.v1 import leaderboard_service_pb2
from searchd.wire.codec import encode_leaderboard, encode_objective, encode_pareto_trial, encode_study, encode_trial
from tests.unit.client import samples

NOW = samples.START + timedelta(minutes=4, seconds=12)
SPEC = replace(
    samples.SPEC,
    objectives=(Objective("size", Goal.MINIMIZE), Objective("accuracy", Goal.MAXIMIZE)),
    limits=(Limit("latency", at_most=20.0),),
    scheduler=Scheduler(metric="accuracy"),
)
LOG = ("tpe: two of five parameters are conditional", "warm start from other: 14 trials; " + "it knows nothing " * 5)
PROGRESS = replace(
    samples.PROGRESS,
    front=(FrontPoint(17, (120.0, 0.9833)), FrontPoint(29, (80.0, 0.9812)), FrontPoint(31, (80.0, 0.97))),
    worst=(500.0, 0.4),
    search_log=LOG,
)
STUDY = replace(samples.study(StudyState.RUNNING, progress=PROGRESS), spec=SPEC)


def seen() -> Study:
    return read_study(encode_study(STUDY))


def troubles() -> Troubles:
    found = Troubles()
    kept, broken = samples.trial(1), replace(samples.trial(2), feasible=False)
    repeated = replace(samples.trial(3), feasible=False, origin=Origin.CONFIRMATION)
    for trial in (kept, broken, broken, repeated):
        found.add(read_trial(encode_trial(trial, {})))
    return found


def test_a_study_is_read_with_its_objectives_and_limits() -> None:
    """The metric that rankings go by is the scheduler's, wherever it stands among the objectives."""
    study = seen()
    assert (study.metric, study.goal) == ("accuracy", Goal.MAXIMIZE)
    assert (study.objectives, study.limits) == (SPEC.objectives, SPEC.limits)
    assert study.other_metrics == ("size", "latency")


def test_the_header_shows_the_front() -> None:
    """How many trials are on it, the best of each objective, of equals the first, and how many trials break limits."""
    assert header(seen(), NOW, troubles(), 80) == [
        "digits-cnn RUNNING 04:12   38/200 trials   8/8 slots busy   ETA 18m",
        "front 3   size 80 (#29)   accuracy .9833 (#17)",
        "default accuracy .97   limits broken 1   failed 2",
        "rungs 1x1:38  1x3:13  1x9:5  1x27:3  5x27:3",
    ]


def test_the_searcher_s_remarks_are_shown() -> None:
    """Whole where there is room, one line each below a live header, of which the newest are shown."""
    assert search_lines(seen(), 80) == [
        "search: tpe: two of five parameters are conditional",
        "search: warm start from other: 14 trials; it knows nothing it knows nothing it",
        "        knows nothing it knows nothing it knows nothing",
    ]
    shown = Picture(seen()).lines(NOW, 80)
    assert shown[-1] == "search: warm start from other: 14 trials; it knows nothing it knows nothing it …"
    many = replace(seen(), progress=replace(PROGRESS, search_log=("a", "b", "c", "d")))
    assert Picture(many).lines(NOW, 80)[-3:] == ["search: b", "search: c", "search: d"]


def test_the_ranking_shows_other_objectives_and_broken_limits() -> None:
    """A column for each other objective, and which limits are broken by which values."""
    others = [((120.0, 12.5), True), ((80.25, 25.0), False), ((333.0, 3.0), True)]
    entries = [
        replace(entry, trial=replace(entry.trial, others=values, feasible=kept))
        for entry, (values, kept) in zip(samples.LEADERBOARD.entries, others, strict=True)
    ]
    board = Leaderboard(encode_leaderboard(Ranking(STUDY, tuple(entries))))
    assert ranking(board.study, list(board), 80) == [
        "#  trial  accuracy      vs #1         size  limits      folds  epoch   min",
        "1     17  .9833 ±.0031  -            120.0  kept          5/5     27  14.2",
        "2     29  .9812 ±.0042  -.0021 tied   80.2  latency 25    5/5     27  14.2",
        "  partial",
        "-     41  .9860         -            333.0  kept          1/5      9  14.2",
    ]


def test_a_front_reads_its_pages_when_they_are_needed() -> None:
    """The first page has the measures, all pages the trials; the best of an objective is found among all."""
    asked: list[str] = []

    def page(token: str) -> leaderboard_service_pb2.ListParetoTrialsResponse:
        asked.append(token)
        members = [(17, (120.0, 0.9833)), (29, (80.0, 0.9812))][bool(token) :][:1]
        return leaderboard_service_pb2.ListParetoTrialsResponse(
            objectives=map(encode_objective, SPEC.objectives),
            trials=[encode_pareto_trial(ParetoTrial(samples.trial(n), values), {}) for n, values in members],
            next_page_token="" if token else "more",
            hypervolume=2.5,
            reference=(500.0, 0.4),
        )

    front = ParetoFront(page)
    assert (front.objectives, front.hypervolume, front.reference) == (SPEC.objectives, 2.5, (500.0, 0.4))
    assert asked == [""]
    assert front.best(SPEC.objectives[0]).trial.number == 29
    assert front.best(SPEC.objectives[1]).values == {"size": 120.0, "accuracy": 0.9833}
    assert asked == ["", "more"]
    plain: dict[str, list[object]] = front.to_dict()  # type: ignore[assignment]
    assert len(plain["trials"]) == 2
    assert "next_page_token" not in plain
    assert front.to_pandas()["values.size"].tolist() == [120.0, 80.0]


def test_an_empty_front_has_no_best() -> None:
    """Without a trial there is nothing to choose from."""
    objectives = map(encode_objective, SPEC.objectives)
    empty = ParetoFront(lambda _: leaderboard_service_pb2.ListParetoTrialsResponse(objectives=objectives))
    assert (len(empty), empty.hypervolume) == (0, None)
    with pytest.raises(ValueError, match="empty"):
        empty.best(SPEC.objectives[0])
