"""The study file: everything that parses is in the message, everything that does not is reported."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import HealthCheck, given, settings

from searchd.domain.parent import Parent
from searchd.domain.study import StudySpec
from searchd.v1 import study_pb2
from searchd.wire import codec
from searchd.wire.codec import decode_value, encode_spec, encode_study
from searchd.wire.drafts import decode_draft
from searchd.wire.study_file import read_study, study_from_mapping, write_study
from searchd.wire.study_mapping import duration_text, study_to_mapping
from tests.unit.wire import wire_strategies as some

FULL = """
study_id: digits-cnn
trainable: torch_cnn
dataset: {builtin: digits, drop: [id]}
search_space:
  lr: {loguniform: [1e-4, 1e-1]}
  channels: {choice: [8, 16.0, off, null]}
  optimizer: {choice: [sgd, adam, rmsprop]}
  momentum: {uniform: [0, 0.99], when: {optimizer: [sgd, rmsprop]}}
  nesterov: {choice: [true, false], when: {optimizer: sgd}}
  epochs_warmup: {randint: [0, 3]}
  width: {qrandint: [64, 257, 64]}
  decay: {grid: [0.1, 0.2]}
fixed: {dropout: 0.1, layers: 2, sizes: [1, 2.0]}
seed: 7
objectives: {metric: accuracy, goal: maximize}
search: {algorithm: tpe, default_first: false}
scheduler: {algorithm: asha, eta: 3, mode: promotion, min_epochs: 1}
evaluation:
  folds: 5
  split: stratified_group
  split_seed: 0
  epochs: 27
  score: last
  racing: forgiving
  ladder: [[1, 3], {folds: 5, epochs: 27}]
resources: {cpus: 1, gpus: 0.25}
budget: {trials: 1e2, slots: 8, wall_time: 1h30m}
retry: {attempts: 3, segment_timeout: 90s, report_timeout: 30s, retries: {out_of_memory: 2, error: 1}}
priority: -1
labels: {team: vision}
"""


def _found(text: str) -> list[str]:
    return [str(violation) for violation in read_study(text).violations]


def _paths(**values: Any) -> list[str]:
    return [v.path for v in study_from_mapping({"trainable": "torch_cnn", **values}).violations]


def test_a_full_file_is_read() -> None:
    """Every section of a study file reaches the message, shorthand included."""
    file = read_study(FULL)
    assert file.violations == ()
    assert file.study_id == "digits-cnn"
    study = file.study
    assert [p.WhichOneof("domain") for p in study.search_space.parameters] == [
        *("loguniform", "choice", "choice", "uniform", "choice", "randint", "qrandint", "grid")
    ]
    assert (study.search_space.parameters[0].loguniform.low, study.search_space.parameters[6].qrandint.step) == (
        1e-4,
        64,
    )
    assert [decode_value(v) for v in study.search_space.parameters[1].choice.values] == [8, 16.0, "off", None]
    assert [decode_value(v) for v in study.search_space.parameters[4].when[0].values] == ["sgd"]
    assert {k: decode_value(v) for k, v in study.fixed.items()} == {"dropout": 0.1, "layers": 2, "sizes": [1, 2.0]}
    assert type(decode_value(study.fixed["layers"])) is int
    assert study.objectives[0] == study_pb2.Objective(metric="accuracy", goal=study_pb2.GOAL_MAXIMIZE)
    assert study.evaluation.split == study_pb2.SPLIT_METHOD_STRATIFIED_GROUP
    assert [(r.folds, r.epochs) for r in study.evaluation.ladder] == [(1, 3), (5, 27)]
    assert (study.budget.trials, study.budget.wall_time.seconds) == (100, 5400)
    assert (study.resources.gpus, study.retry.segment_timeout.seconds, study.priority) == (0.25, 90, -1)
    assert (study.retry.report_timeout.seconds, dict(study.retry.retries)) == (30, {"out_of_memory": 2, "error": 1})
    assert (study.search.HasField("default_first"), study.search.default_first) == (True, False)


def test_null_leaves_a_field_unset() -> None:
    """A key without a value means the default, as in JSON."""
    file = read_study("trainable: t\nsearch:\nevaluation: {folds: null}\n")
    assert file.violations == ()
    assert not file.study.HasField("search")
    assert not file.study.evaluation.HasField("folds")


def test_all_mistakes_come_at_once_and_the_rest_is_read() -> None:
    """One reading finds every mistake, with its path and a remedy, and keeps what was right."""
    file = read_study(
        """
        study_id: 7
        trainable: torch_cnn
        track: other
        priorty: 3
        search_space:
          lr: {loguniform: [1e-4]}
          momentum: {uniform: [0, 1], when: {lr: 0.1}}
          width: {choise: [1, 2]}
          depth: 3
        search: {algorithm: bayes}
        evaluation: {folds: "5", epochs: 9, split: Stratified}
        budget: {trials: 10, wall_time: 90}
        """
    )
    assert [str(v) for v in file.violations] == [
        "study_id: is the number 7, not text; put it in quotes: '7'",
        "track: is the text 'other', not a list; write it as [first, second]",
        "priorty: is not a known key; did you mean priority?",
        "search_space.lr.loguniform: holds 1, not 2 numbers; write it as loguniform: [low, high]",
        "search_space.width.choise: is not a known domain; did you mean choice?",
        "search_space.depth: is the number 3, not a domain; "
        "write it as {uniform: [0, 1]} or {choice: [a, b]}, or put it under fixed",
        "search.algorithm: 'bayes' is not one of grid, random, sobol, tpe, bayesian, gp, cmaes, nsga2, nsga3, "
        "hyperopt_tpe, hyperopt_anneal, gradient, ray; did you mean bayesian?",
        "evaluation.folds: is the text '5', not a whole number; write it without quotes",
        "evaluation.split: 'Stratified' is not one of kfold, stratified, group, stratified_group, timeseries, "
        "fold_column; did you mean stratified?",
        "budget.wall_time: is the number 90, without a unit; write 90s, 90m or 90h",
    ]
    assert [p.name for p in file.study.search_space.parameters] == ["momentum"]
    assert not file.study.search_space.parameters[0].when
    assert (file.study.trainable, file.study.evaluation.epochs, file.study.budget.trials) == ("torch_cnn", 9, 10)


@pytest.mark.parametrize(
    ("written", "trial"),
    [
        ("old", None),
        ({"study": "old"}, None),
        ({"study": "old", "trial": "best"}, None),
        ({"study": "old", "trial": 3}, 3),
    ],
)
def test_a_parent_is_a_study_or_one_of_its_trials(written: Any, trial: int | None) -> None:
    """A parent is named alone, or with the number of a trial; ``best`` is what no number means."""
    file = study_from_mapping({"trainable": "ensemble", "parent": written})
    draft, violations = decode_draft(file.study)
    assert (file.violations, violations) == ((), ())
    assert draft.parent == Parent("old", trial)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"trial": 3}, "parent.study"),
        ({"study": "old", "trial": 0}, "parent.trial"),
        ({"study": "old", "trial": "worst"}, "parent.trial"),
        ({"study": "old", "fold": 1}, "parent.fold"),
        (["old"], "parent"),
    ],
)
def test_what_is_no_parent_is_refused(written: Any, path: str) -> None:
    """A parent without a study, with a trial that cannot be, or of another shape is refused where it stands."""
    file = study_from_mapping({"trainable": "ensemble", "parent": written})
    assert path in [v.path for v in (*file.violations, *decode_draft(file.study)[1])]


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("dataset", {"builtin": "digits", "weight": "w"}, "dataset.weight"),
        ("dataset", {"builtin": "digits", "positive": 1}, "dataset.positive"),
        ("search_space", {"x": {"randn": [0, 1]}}, "search_space.x.randn"),
    ],
)
def test_what_comes_later_is_called_unsupported(key: str, value: Any, path: str) -> None:
    """What is documented but not built yet is refused as such, not as a spelling mistake."""
    (violation,) = study_from_mapping({key: value}).violations
    assert violation.path == path
    assert "not supported by this version" in violation.message


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"trainable": 3}, "trainable"),
        ({"dataset": "digits"}, "dataset"),
        ({"dataset": {"builtin": "digits", "drop": "id"}}, "dataset.drop"),
        ({"dataset": {"builtin": "digits", "drop": [1]}}, "dataset.drop[0]"),
        ({"dataset": {"builtin": "digits", "targt": "y"}}, "dataset.targt"),
        ({"search_space": ["lr"]}, "search_space"),
        ({"search_space": {"lr": {}}}, "search_space.lr"),
        ({"search_space": {"lr": {"when": {}}}}, "search_space.lr"),
        ({"search_space": {"lr": {"uniform": [0, 1], "choice": [1]}}}, "search_space.lr"),
        ({"search_space": {"lr": {"uniform": 3}}}, "search_space.lr.uniform"),
        ({"search_space": {"lr": {"uniform": ["1e-4", 1]}}}, "search_space.lr.uniform"),
        ({"search_space": {"lr": {"uniform": [True, 1]}}}, "search_space.lr.uniform"),
        ({"search_space": {"lr": {"uniform": [0, 10**400]}}}, "search_space.lr.uniform"),
        ({"search_space": {"lr": {"quniform": [0, 1]}}}, "search_space.lr.quniform"),
        ({"search_space": {"lr": {"uniform": {"low": 0, "hihg": 1}}}}, "search_space.lr.uniform.hihg"),
        ({"search_space": {"n": {"randint": [0.5, 2]}}}, "search_space.n.randint"),
        ({"search_space": {"n": {"randint": [0, 2**63]}}}, "search_space.n.randint"),
        ({"search_space": {"n": {"choice": 3}}}, "search_space.n.choice"),
        ({"search_space": {"n": {"choice": [2**63]}}}, "search_space.n.choice[0]"),
        ({"search_space": {"n": {"choice": [1], "wen": {}}}}, "search_space.n.wen"),
        ({"search_space": {"n": {"choice": [1], "when": "x"}}}, "search_space.n.when"),
        ({"search_space": {"n": {"choice": [1], "when": {"x": [b"1"]}}}}, "search_space.n.when.x"),
        ({"search_space": {"n": {"choice": [1], "when": {1: [1]}}}}, "search_space.n.when.1"),
        ({"search_space": {"n": {"grid_search": [1]}}}, "search_space.n.grid_search"),
        ({"search_space": {5: {"choice": [1]}}}, "search_space.5"),
        ({"fixed": [1]}, "fixed"),
        ({"fixed": {"a": {"b": [object()]}}}, "fixed.a.b[0]"),
        ({"fixed": {"a": "\ud800"}}, "fixed.a"),
        ({"fixed": {"a": {1: 2}}}, "fixed.a"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"objectives": "accuracy"}, "objectives"),
        ({"objectives": ["accuracy"]}, "objectives[0]"),
        ({"objectives": {"metric": "a", "goal": "max"}}, "objectives[0].goal"),
        ({"search": {"algorithm": None, "algorthm": "tpe"}}, "search.algorthm"),
        ({"search": {"algorithm": 3}}, "search.algorithm"),
        ({"search": {"algorithm": "tpe", "default_first": "yes"}}, "search.default_first"),
        ({"evaluation": {"ladder": 3}}, "evaluation.ladder"),
        ({"evaluation": {"ladder": [[1, 2, 3]]}}, "evaluation.ladder[0]"),
        ({"evaluation": {"ladder": [[1, "x"]]}}, "evaluation.ladder[0]"),
        ({"evaluation": {"ladder": [{"fold": 1}]}}, "evaluation.ladder[0].fold"),
        ({"evaluation": {"ladder": [3]}}, "evaluation.ladder[0]"),
        ({"budget": {"trials": 2**31}}, "budget.trials"),
        ({"budget": {"wall_time": "1x"}}, "budget.wall_time"),
        ({"budget": {"wall_time": ""}}, "budget.wall_time"),
        ({"budget": {"wall_time": "-5s"}}, "budget.wall_time"),
        ({"budget": {"wall_time": "99999999999d"}}, "budget.wall_time"),
        ({"budget": {"wall_time": True}}, "budget.wall_time"),
        ({"retry": {"report_timeout": 30}}, "retry.report_timeout"),
        ({"retry": {"retries": 3}}, "retry.retries"),
        ({"retry": {"retries": {"error": "1"}}}, "retry.retries.error"),
        ({"retry": {"retries": {"error": 2**31}}}, "retry.retries.error"),
        ({"retry": {"retries": {3: 1}}}, "retry.retries.3"),
        ({"labels": {"year": 2026}}, "labels.year"),
        ({"state": "RUNNING"}, "state"),
        ({"name": "x"}, "name"),
    ],
)
def test_each_mistake_is_found_at_its_path(values: dict[str, Any], path: str) -> None:
    """A value of the wrong kind gives one violation, at the path where it is written."""
    assert _paths(**values) == [path]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90s", 90), ("15m", 900), ("12h", 43_200), ("1h30m", 5400), ("2d", 172_800), ("1.5h", 5400)),
        ("0.5s", 0.5),
    ],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    """Durations are written with their units, alone or together."""
    file = read_study(f"budget: {{wall_time: {text}}}")
    assert file.violations == ()
    wall_time = file.study.budget.wall_time
    assert wall_time.seconds + wall_time.nanos / 1e9 == seconds


def test_a_step_on_a_log_scale_of_integers_is_read() -> None:
    """qlograndint, which the wire has no name for, is a lograndint with a step."""
    parameter = read_study("search_space: {n: {qlograndint: [1, 64, 2]}}").study.search_space.parameters[0]
    assert parameter.lograndint == study_pb2.IntegerDomain(low=1, high=64, step=2)


def test_yaml_1_2_is_read() -> None:
    """Numbers in scientific notation are numbers, off and yes are text."""
    fixed = read_study("fixed: {a: 1e-4, b: off, c: yes, d: 010}").study.fixed
    assert {name: decode_value(value) for name, value in fixed.items()} == {"a": 1e-4, "b": "off", "c": "yes", "d": 10}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "file: is empty, not a mapping"),
        ("- a", "file: is a list, not a mapping"),
        ("a: [", "line 1: column 5: "),
        ("a: b\n---\nc: d", "line 2: column 1: "),
        ("a: &x [*x]", "a[0]: refers to itself"),
        ("[" * 5000, "file: is nested too deeply"),
        ("a: 2026-13-45", "file: is not YAML: month must be"),
        ('a: "\x01"', "file: is not YAML: unacceptable character"),
        ("a: !!python/object:os.system x", "line 1: column 4: could not determine a constructor"),
    ],
)
def test_what_is_not_a_study_file_is_one_violation(text: str, expected: str) -> None:
    """Broken YAML is reported with its place and never raises; nothing in it is executed."""
    (found,) = _found(text)
    assert found.startswith(expected)


def test_what_is_checked_against_a_missing_timeout_is_left_out() -> None:
    """A report timeout whose segment timeout cannot be read is not held against the usual one."""
    file = read_study("retry: {segment_timeout: 30, report_timeout: 20m}")
    assert [v.path for v in file.violations] == ["retry.segment_timeout"]
    assert not file.study.retry.HasField("report_timeout")


def test_control_characters_are_shown_escaped() -> None:
    """Names and values in messages cannot command a terminal, whether they come from a file or from Python."""
    bad = "rax:\x1b[2J"
    written = f'"rax:{chr(92)}x1b[2J"'
    python = study_from_mapping({"search": {"algorithm": bad}, bad: 1, "fixed": {bad: {"x": object()}}})
    file = read_study(f"search: {{algorithm: {written}}}\n{written}: 1\n{written}: 2\n")
    assert len(python.violations) == 3
    assert len(file.violations) == 3
    for violation in (*python.violations, *file.violations):
        assert str(violation).isprintable()
        assert r"\x1b[2J" in str(violation)


@pytest.mark.parametrize(
    ("text", "empty"), [("a: [", True), ("evalution: {folds: 5}", True), ("seed: 1\nfoo: 1", False), ("{}", False)]
)
def test_a_file_of_which_nothing_can_be_read_says_so(text: str, empty: bool) -> None:
    """A file with mistakes and nothing else is empty; one without a mistake is not, whatever it lacks."""
    assert read_study(text).empty is empty


def test_python_values_are_read_as_a_file_would_have_them() -> None:
    """Tuples count as lists, and scalars of numpy and fractions as the numbers that they are, at any depth."""
    space = {"x": {"uniform": (np.float32(0.5), 1)}, "n": {"choice": (np.int64(8), 16)}}
    python = study_from_mapping(
        {"trainable": "net", "search_space": space, "fixed": {"a": (1, (np.int8(2), Fraction(1, 2)))}}
    )
    plain = {"x": {"uniform": [0.5, 1]}, "n": {"choice": [8, 16]}}
    assert python.violations == ()
    assert python == study_from_mapping({"trainable": "net", "search_space": plain, "fixed": {"a": [1, [2, 0.5]]}})


def test_values_nested_deeper_than_a_message_takes_are_one_violation() -> None:
    """Twenty levels are read, more are reported where they begin to be too many; lists and mappings count alike."""
    deep = "[" * 300 + "]" * 300
    assert _found(f"fixed: {{a: {'[' * 20 + ']' * 20}, b: {'{x: ' * 20 + '1' + '}' * 20}}}") == []
    assert _found(f"fixed: {{a: {deep}}}\nfoo: 1") == [
        f"fixed.a{'[0]' * 21}: is nested more than 20 levels deep; use fewer levels",
        next(line for line in _found("foo: 1") if line.startswith("foo: ")),
    ]


def test_keys_given_twice_are_found_at_any_depth() -> None:
    """Repeated keys are reported with their line, beside all other mistakes."""
    assert _found("trainable: a\nsearch:\n  algorithm: tpe\n  algorithm: grid\ntrainable: b\nfoo: 1\n")[:2] == [
        "search.algorithm: is given twice; keep one (the second is on line 4)",
        "trainable: is given twice; keep one (the second is on line 5)",
    ]


def test_aliases_that_grow_without_end_are_refused() -> None:
    """A small file cannot stand for a huge one."""
    layers = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert _found("a0: &a0 [1, 1]\n" + layers) == ["file: has more than 100000 values; write fewer"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(some.specs)
def test_any_definition_can_be_written_and_read(spec: StudySpec) -> None:
    """The text written for a definition reads back as the same message, without violations."""
    study = encode_spec(spec)
    file = read_study(write_study(study))
    assert file.violations == ()
    assert file.study == study


def test_a_written_study_names_its_id_and_leaves_out_what_the_server_sets() -> None:
    """What is shown of a study as a file can be submitted."""
    study = read_study(FULL).study
    study.name = "projects/default/studies/digits-cnn"
    study.state = study_pb2.STUDY_STATE_RUNNING
    study.rungs.add(folds=1, epochs=1)
    mapping = study_to_mapping(study)
    assert mapping["study_id"] == "digits-cnn"
    assert mapping["search_space"]["momentum"] == {"uniform": [0.0, 0.99], "when": {"optimizer": ["sgd", "rmsprop"]}}
    assert mapping["search"] == {"algorithm": "tpe", "default_first": False}
    assert mapping["budget"] == {"trials": 100, "slots": 8, "wall_time": "1h30m"}
    assert mapping["evaluation"]["ladder"] == [[1, 3], [5, 27]]
    assert mapping["retry"]["retries"] == {"error": 1, "out_of_memory": 2}
    assert not {"name", "state", "rungs"} & set(mapping)
    file = study_from_mapping(mapping)
    assert file.violations == ()
    for field in ("name", "state", "rungs"):
        study.ClearField(field)
    assert file.study == study


@pytest.mark.parametrize(
    "text", ["?0", "- a", "a: b", "a\u2028 b", "", " ", "null", "1e-4", "010", "true", "#", "\x00", "\u00e9", "=", "<<"]
)
def test_any_text_can_be_written_and_read(text: str) -> None:
    """Text that looks like something else in YAML stays text, as a value and as a name."""
    study = study_pb2.Study(trainable=text, fixed={text: codec.encode_value({text: [text]})})
    file = read_study(write_study(study))
    assert (file.violations, file.study) == ((), study)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(some.studies)
def test_a_study_from_the_server_can_be_written_and_read(study: Any) -> None:
    """The file written for a study as the server sends it reads back without violations."""
    assert read_study(write_study(encode_study(study))).violations == ()


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        *((Duration(), "0s"), (Duration(seconds=90), "1m30s"), (Duration(seconds=3600), "1h")),
        (Duration(nanos=1), "0.000000001s"),
        (Duration(seconds=5400, nanos=500_000_000), "1h30m0.5s"),
    ],
)
def test_durations_are_written_as_people_write_them(duration: Duration, text: str) -> None:
    """A duration is written with units, exactly."""
    assert duration_text(duration) == text


def test_constraints_are_limits_or_expressions() -> None:
    """A text is an expression over parameters, a mapping a limit on a metric; both come back as they were written."""
    text = 'constraints: ["b <= a", {metric: latency_ms, at_most: 5}]\n'
    file = read_study(text)
    assert file.violations == ()
    assert [c.expression for c in file.study.constraints] == ["b <= a", ""]
    assert (file.study.constraints[1].metric, file.study.constraints[1].at_most) == ("latency_ms", 5)
    assert read_study(write_study(file.study)).study == file.study


@pytest.mark.parametrize(("section", "field"), [("search", "ray_searcher"), ("scheduler", "ray_scheduler")])
def test_algorithms_of_ray_tune_are_named_behind_a_colon(section: str, field: str) -> None:
    """ray:NAME is the algorithm and the name in one word, and written as such again; ray alone says too little."""
    file = read_study(f"{section}: {{algorithm: ray:hyperopt}}")
    assert file.violations == ()
    assert getattr(getattr(file.study, section), field) == "hyperopt"
    assert read_study(write_study(file.study)).study == file.study
    (violation,) = read_study(f"{section}: {{algorithm: ray}}").violations
    assert violation.path == f"{section}.algorithm"
    assert "ray:NAME" in violation.remedy


def test_what_a_population_explores_is_read_and_written() -> None:
    """The parameters that may change in mid-training reach the definition, and the file that is written of it."""
    file = read_study("scheduler: {algorithm: population, explore: [lr, momentum]}")
    draft, violations = decode_draft(file.study)
    assert (file.violations, violations) == ((), ())
    assert draft.scheduler is not None
    assert draft.scheduler.explore == ("lr", "momentum")
    assert read_study(write_study(file.study)).study == file.study


@pytest.mark.parametrize("section", ["search: {cost_aware: true}", "scheduler: {eta: 4}"])
def test_settings_need_no_algorithm(section: str) -> None:
    """The usual algorithm is meant where only its settings are given."""
    file = read_study(section)
    assert (file.violations, decode_draft(file.study)[1]) == ((), ())
