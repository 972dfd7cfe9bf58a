"""Drafts: what a caller may leave out, and what has no meaning."""

from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf import text_format
from google.protobuf.duration_pb2 import Duration

from searchd.domain.checks import draft_violations
from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Evaluation, Split
from searchd.domain.failure import Failure
from searchd.domain.objective import Goal, Objective
from searchd.domain.scheduler import Scheduler, SchedulerMode
from searchd.domain.space import Float, Parameter
from searchd.domain.study import Dataset, Retry
from searchd.v1 import study_pb2
from searchd.wire.drafts import decode_draft


def _paths(study: study_pb2.Study) -> list[str]:
    return [violation.path for violation in decode_draft(study)[1]]


def _study(text: str) -> study_pb2.Study:
    return text_format.Parse(text, study_pb2.Study())


def test_unset_fields_take_the_domains_defaults() -> None:
    """A study that only names its trainable is the draft that only names its trainable."""
    assert decode_draft(study_pb2.Study(trainable="t")) == (StudyDraft("t"), ())


def test_empty_sections_take_the_domains_defaults() -> None:
    """Sections without required fields may be empty."""
    study = _study('trainable: "t" evaluation {} resources {} budget {} retry {}')
    assert decode_draft(study) == (StudyDraft("t"), ())


def test_given_fields_are_taken_over() -> None:
    """What is set replaces the default, and zero is not unset."""
    draft, violations = decode_draft(
        _study(
            """
            trainable: "t" dataset { uri: "a.csv" target: "y" drop: "id" }
            objectives { metric: "loss" goal: GOAL_MINIMIZE }
            search { algorithm: SEARCH_ALGORITHM_SOBOL default_first: false }
            scheduler { algorithm: SCHEDULER_ALGORITHM_ASHA mode: SCHEDULER_MODE_STOPPING eta: 4 }
            evaluation { folds: 5 split: SPLIT_METHOD_GROUP epochs: 9 }
            resources { cpus: 2 gpus: 0.5 } budget { slots: 0 wall_time { seconds: 90 } }
            """
        )
    )
    assert violations == ()
    assert draft.dataset == Dataset(uri="a.csv", target="y", drop=("id",))
    assert draft.objectives == (Objective("loss", Goal.MINIMIZE),)
    assert (draft.search.algorithm.value, draft.search.default_first) == ("sobol", False)
    assert (draft.scheduler, draft.mode) == (Scheduler(eta=4), SchedulerMode.STOPPING)
    assert (draft.evaluation, draft.split) == (Evaluation(folds=5, split=Split.GROUP, epochs=9), Split.GROUP)
    assert (draft.resources.cpus, draft.resources.gpus) == (2.0, 0.5)
    assert (draft.budget.slots, draft.budget.wall_time) == (0, timedelta(seconds=90))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("objectives { metric: 'a' }", "objectives[0].goal"),
        ("search { algorithm: SEARCH_ALGORITHM_UNSPECIFIED }", "search.algorithm"),
        ("search { algorithm: 99 }", "search.algorithm"),
        ("scheduler { algorithm: SCHEDULER_ALGORITHM_UNSPECIFIED }", "scheduler.algorithm"),
        ("constraints {}", "constraints[0]"),
        ("constraints { metric: 'a' }", "constraints[0]"),
        ("constraints { metric: 'a' at_most: 1 at_least: 0 }", "constraints[0]"),
        ("constraints { expression: 'a < b' at_most: 1 }", "constraints[0]"),
        (
            "scheduler { algorithm: SCHEDULER_ALGORITHM_ASHA mode: SCHEDULER_MODE_UNSPECIFIED }",
            "scheduler.mode",
        ),
        ("evaluation { split: SPLIT_METHOD_UNSPECIFIED }", "evaluation.split"),
        ("evaluation { score: SCORE_RULE_UNSPECIFIED }", "evaluation.score"),
        ("evaluation { racing: RACING_RULE_UNSPECIFIED }", "evaluation.racing"),
        ("evaluation { folds: 0 }", "evaluation.folds"),
        ("evaluation { folds: 5 holdout: 0.2 }", "evaluation"),
        ("budget { wall_time { seconds: 1 nanos: -1 } }", "budget.wall_time"),
        ("retry { segment_timeout { nanos: 2000000000 } }", "retry.segment_timeout"),
        ("retry { report_timeout { nanos: 2000000000 } }", "retry.report_timeout"),
        ("retry { retries { key: 'out_of_memry' value: 1 } }", "retry.retries.out_of_memry"),
        ("search_space { parameters { name: 'lr' } }", "search_space.lr"),
        ("search_space { parameters { uniform {} } parameters {} }", "search_space"),
        ("search_space { parameters { name: 'lr' quniform { high: 1 } } }", "search_space.lr.quniform"),
        ("search_space { parameters { name: 'n' qrandint { high: 9 } } }", "search_space.n.qrandint"),
    ],
)
def test_what_has_no_meaning_is_a_violation(text: str, path: str) -> None:
    """An unspecified or unknown enum, a broken duration or a missing domain is reported at its path, once."""
    assert _paths(_study(text)) == [path]


def test_limits_and_expressions_know_their_places() -> None:
    """What is wrong with one of the constraints is found at its place among all of them."""
    text = "constraints { expression: 'a <' } constraints { metric: 'm' at_most: nan } constraints { metric: 'm' }"
    draft, violations = decode_draft(_study(f"{text} constraints {{ expression: 'zzz < 1' }}"))
    known = replace(draft, space=replace(draft.space, parameters=(Parameter("a", Float(0, 1)),)))
    places = [v.path for v in (*violations, *draft_violations(known)) if v.path.startswith("constraints")]
    assert places == ["constraints[2]", "constraints[1]", "constraints[0]", "constraints[3]"]


def test_retries_are_by_failure() -> None:
    """Those that are given replace the usual ones, and the timeout for reports is unset unless it is given."""
    draft, violations = decode_draft(
        _study("retry { report_timeout { seconds: 120 } retries { key: 'error' value: 1 } retries { key: 'hung' } }")
    )
    assert violations == ()
    assert draft.retry == Retry(report_timeout=timedelta(minutes=2), retries={Failure.ERROR: 1, Failure.HUNG: 0})
    assert (draft.retry.of(Failure.HUNG), draft.retry.of(Failure.WORKER_KILLED)) == (0, 2)


@pytest.mark.parametrize(
    ("text", "attempts", "sensible"),
    [
        ("retries { key: 'worker_killed' value: 5 }", 6, True),
        ("attempts: 6 retries { key: 'worker_killed' value: 5 }", 6, True),
        ("attempts: 3 retries { key: 'worker_killed' value: 5 }", 3, False),
    ],
)
def test_attempts_and_retries_of_a_killed_worker_agree(text: str, attempts: int, sensible: bool) -> None:
    """Retries of a killed worker give the attempts; written both ways they may not contradict each other."""
    draft, _ = decode_draft(_study(f"trainable: 't' retry {{ {text} }}"))
    assert (draft.retry.attempts, list(draft_violations(draft)) == []) == (attempts, sensible)


def test_an_unknown_failure_gets_the_nearest_known_one() -> None:
    """The remedy names it, or all there are where none is near."""
    _, found = decode_draft(_study("retry { retries { key: 'timeout' value: 1 } retries { key: 'xyz' value: 1 } }"))
    assert [v.remedy for v in found] == ["did you mean timed_out?", f"use one of {', '.join(Failure)}"]


def test_all_violations_come_at_once() -> None:
    """Nothing hides behind the first mistake."""
    study = _study(
        "search { algorithm: 0 } scheduler { algorithm: 0 } evaluation { split: SPLIT_METHOD_UNSPECIFIED folds: 0 }"
    )
    assert set(_paths(study)) == {"search.algorithm", "scheduler.algorithm", "evaluation.split", "evaluation.folds"}


def test_conditions_on_a_parameter_that_cannot_be_read_are_not_checked() -> None:
    """A parameter without a domain takes the conditions on it along, so that they are not called unknown."""
    draft, violations = decode_draft(
        _study(
            """search_space {
              parameters { name: 'b' uniform { high: 1 } when { parameter: 'a' values { int_value: 1 } } }
              parameters { name: 'a' }
            }"""
        )
    )
    assert [v.path for v in violations] == ["search_space.a"]
    assert draft.space.names() == ("b",)
    assert draft.space.parameters[0].when == ()


def test_parameters_come_after_those_that_their_conditions_name() -> None:
    """The order on the wire is free; in the domain a condition names an earlier parameter."""
    draft, _ = decode_draft(
        _study(
            """search_space {
              parameters { name: 'b' uniform { high: 1 } when { parameter: 'a' values { int_value: 1 } } }
              parameters { name: 'a' choice { values { int_value: 1 } } }
            }"""
        )
    )
    assert draft.space.names() == ("a", "b")


def test_fields_that_only_the_server_sets_are_not_looked_at() -> None:
    """A study read from a server can be sent to make another."""
    study = _study("trainable: 't' name: 'projects/a/studies/b' state: STUDY_STATE_RUNNING reason: 'x'")
    study.create_time.GetCurrentTime()
    study.budget.wall_time.CopyFrom(Duration(seconds=5))
    assert decode_draft(study)[1] == ()
