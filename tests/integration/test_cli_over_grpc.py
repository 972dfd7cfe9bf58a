"""The commands against real gRPC on the loopback interface."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.domain.errors import InvalidStudy, NoCompleteTrial, SearchdError, StudyActive, StudyExists, Violation
from searchd.domain.facts import Event, Fact, StudyPut, TrialPut
from searchd.domain.failure import Failure
from searchd.domain.study import StudyState
from searchd.domain.trial import Origin, TrialState
from searchd.v1 import study_service_pb2, system_service_pb2, trial_service_pb2
from searchd.wire.codec import encode_event, encode_study, encode_trial
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with serving(Front()) as front:
        monkeypatch.setenv("SEARCHD_ADDRESS", front.address)
        monkeypatch.setenv("COLUMNS", "80")
        yield front


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "digits.yaml"
    file.write_text("study_id: digits-cnn\ntrainable: torch_cnn\n")
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def refusing(error: SearchdError) -> Any:
    return lambda _, context: refuse(context, error)


def ends(front: Front, state: StudyState, reason: str = "") -> None:
    """Let a watch of the study see a failed trial and the end, and a reader the ended study."""
    ended = samples.study(state, reason)
    failed = samples.trial(3, state=TrialState.FAILED, scores=(), reason="CUDA out of memory")
    facts: list[Fact] = [TrialPut(failed), StudyPut(ended)]
    events = [encode_event(Event(i, samples.START, fact), {}) for i, fact in enumerate(facts, start=1)]
    front.answers["WatchStudy"] = lambda *_: iter(events)
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(study=encode_study(ended))


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["ls"], "studies"),
        (["show", "digits-cnn"], "name"),
        (["trials", "digits-cnn"], "trials"),
        (["leaderboard", "digits-cnn"], "entries"),
        (["leaderboard", "digits-cnn", "projects/default/studies/digits-cnn"], "leaderboards"),
        (["leaderboard", "--label", "team=vision"], "leaderboards"),
        (["best", "digits-cnn", "-o", "json"], "parameters"),
        (["pareto", "digits-cnn"], "objectives"),
        (["importance", "digits-cnn"], "evaluator"),
        (["curve", "digits-cnn"], "points"),
        (["trainables"], "trainables"),
        (["trainables", "torch_cnn"], "default_parameters"),
        (["cluster"], "nodes"),
    ],
)
def test_reading_commands_print_json_where_nobody_is_looking(front: Front, arguments: list[str], key: str) -> None:
    """Off a terminal, and with -o json, the output is one JSON document with the protos' names."""
    result = run(*arguments)
    assert result.exit_code == 0
    assert key in json.loads(result.stdout)


def test_json_has_plain_parameters_and_all_pages(front: Front) -> None:
    """Integers are numbers, all trials are there, and the page token is the client's own business."""
    trials = json.loads(run("trials", "digits-cnn", "-o", "json").stdout)["trials"]
    assert [trial["number"] for trial in trials] == [1, 2, 3]
    assert trials[0]["parameters"] == {"channels": 32, "layers": 2, "lr": 0.0031, "optimizer": "adam"}
    assert trials[0]["state"] == "TRIAL_STATE_COMPLETED"
    best = json.loads(run("best", "digits-cnn", "-o", "json").stdout)
    assert best["parameters"]["channels"] == 32
    assert best["tied_trials"] == [29]


def test_the_leaderboard_is_readable_at_80_columns(front: Front) -> None:
    """Header, ranking, and partial trials under a line of their own."""
    assert run("leaderboard", "digits-cnn", "-o", "table").stdout.splitlines() == [
        "digits-cnn SUCCEEDED 04:12   38/200 trials",
        "best .9833 (#17)   default .97   epochs saved 61%   failed 2",
        "rungs 1x1:38  1x3:13  1x9:5  1x27:3  5x27:3",
        "",
        "#  trial  accuracy      vs #1        folds  epoch   min      lr  optimizer",
        "1     17  .9833 ±.0031  -              5/5     27  14.2  3.1e-3  adam",
        "2     29  .9812 ±.0042  -.0021 tied    5/5     27  14.2  2.2e-3  adam",
        "  partial",
        "-     41  .9860         -              1/5      9  14.2     .04  sgd",
    ]


def test_other_tables_are_readable_at_80_columns(front: Front) -> None:
    """Trials, trainables with their card, the cluster, and studies."""
    assert run("trials", "digits-cnn", "-o", "table").stdout.splitlines()[:2] == [
        "trial  state      rung  score  epochs  time  channels  layers  lr      optimizer",
        "    1  COMPLETED     5  .9833     135   14m  32        2       3.1e-3  adam",
    ]
    assert run("trainables", "torch_cnn", "-o", "table").stdout.splitlines() == [
        "torch_cnn   code 9c1e00000000",
        "A convolutional network for images.",
        "metrics: accuracy (maximize), loss (minimize)",
        "folds: yes   can be paused: yes",
        "",
        "parameter  default  space                   when",
        "lr            1e-3  loguniform: [1e-4, .1]",
        "channels        16  choice: [8, 16, 32]",
        "optimizer     adam  choice: [sgd, adam]",
        "layers           2  randint: [1, 4]",
        "momentum         -  uniform: [0, .99]       optimizer: [sgd]",
    ]
    assert run("trainables", "-o", "table").stdout.splitlines() == [
        "trainable  metrics         folds  pauses  description",
        "torch_cnn  accuracy, loss  yes    yes     A convolutional network for images.",
    ]
    assert run("cluster", "-o", "table").stdout.splitlines()[:5] == [
        "leader   searchd 0.1.0   epoch 3",
        "problem: the store takes no writes: the disk is full",
        "",
        "node    CPUs  GPUs",
        "node-1     2     0",
    ]
    listed = run("ls", "-o", "table").stdout.splitlines()
    assert listed[0].split() == ["study", "state", "trainable", "trials", "metric", "best", "default", "age"]
    assert listed[1].split()[:7] == ["digits-cnn", "RUNNING", "torch_cnn", "38/200", "accuracy", ".9833", ".97"]
    assert len(listed[1]) <= 80


def test_a_standby_says_who_leads(front: Front) -> None:
    """The first line of cluster says so, or that nobody does; in JSON all of it is under its own key."""
    info = system_service_pb2.GetServerInfoResponse(version="0.1.0", role=system_service_pb2.SERVER_ROLE_STANDBY)
    front.answers["GetServerInfo"] = lambda *_: info
    assert run("cluster", "-o", "table").stdout.splitlines()[0] == "standby   searchd 0.1.0   nobody leads"
    info.leader_address = "10.0.0.1:50051"
    assert run("cluster", "-o", "table").stdout.splitlines()[:2] == [
        "standby   searchd 0.1.0   leader at 10.0.0.1:50051",
        "",
    ]
    told = json.loads(run("cluster", "-o", "json").stdout)
    assert (told["server"]["role"], told["server"]["problems"]) == ("SERVER_ROLE_STANDBY", [])
    assert told["nodes"][0]["name"] == "node-1"


def test_failures_and_retries_of_trials_are_shown(front: Front) -> None:
    """Where there were any: how a trial failed, how often its fold runs were retried, and why, within 80 columns."""
    hung = samples.trial(
        7,
        state=TrialState.INFEASIBLE,
        scores=(),
        reason="loss is nan\x1b[2J",
        failure=Failure.NOT_FINITE,
        retried=(Failure.HUNG, Failure.PREEMPTED),
    )
    trials = [encode_trial(trial, {}) for trial in (hung, samples.trial(8))]
    front.answers["ListTrials"] = lambda *_: trial_service_pb2.ListTrialsResponse(trials=trials)
    assert run("trials", "digits-cnn", "-o", "table").stdout.splitlines() == [
        "trial  state       rung  score  epochs  time  retries  failure     reason",
        r"    7  INFEASIBLE     0      -     135   14m        2  not finite  loss is nan\…",
        "    8  COMPLETED      5  .9833     135   14m        0",
    ]
    told = json.loads(run("trials", "digits-cnn", "-o", "json").stdout)["trials"]
    assert [trial["failure"] for trial in told] == ["FAILURE_NOT_FINITE", "FAILURE_UNSPECIFIED"]
    assert told[0]["fold_runs"][0]["failures"] == ["FAILURE_HUNG", "FAILURE_PREEMPTED"]


def test_trials_that_the_search_did_not_propose_say_so(front: Front) -> None:
    """Where not all trials are the searcher's, a column tells what each is for."""
    origins = (Origin.SEARCH, Origin.WARM_START)
    trials = [encode_trial(replace(samples.trial(n), origin=origin), {}) for n, origin in enumerate(origins)]
    front.answers["ListTrials"] = lambda *_: trial_service_pb2.ListTrialsResponse(trials=trials)
    lines = run("trials", "digits-cnn", "-o", "table").stdout.splitlines()
    assert [line.split()[1:4] for line in lines] == [
        ["origin", "state", "rung"],
        ["search", "COMPLETED", "5"],
        ["warm", "start", "COMPLETED"],
    ]


def test_show_counts_failures(front: Front) -> None:
    """The header of a study with failed trials says what went wrong with them."""
    failed = [samples.trial(n, state=TrialState.FAILED, failure=Failure.TIMED_OUT) for n in (1, 2)]
    page = trial_service_pb2.ListTrialsResponse(trials=[encode_trial(trial, {}) for trial in failed])
    front.answers["ListTrials"] = lambda *_: page
    assert "   failed 2: timed out" in run("show", "digits-cnn", "-o", "table").stdout.splitlines()[1]
    assert front.requests[-1].filter == "state=FAILED"


def test_show_prints_a_study_file(front: Front, tmp_path: Path) -> None:
    """What is shown can be saved and submitted; how the study is doing is a comment."""
    shown = run("show", "digits-cnn", "-o", "table").stdout
    file = tmp_path / "again.yaml"
    file.write_text(shown)
    assert shown.startswith("# digits-cnn RUNNING")
    assert run("submit", str(file)).exit_code == 0
    assert front.requests[-1].study.search_space == encode_study(samples.study()).search_space
    assert not front.requests[-1].validate_only


@pytest.mark.parametrize(
    ("form", "last_line"),
    [
        ("yaml", "{lr: 0.0031, channels: 32, optimizer: adam, layers: 2, dropout: 0.1}"),
        ("python", "{'lr': 0.0031, 'channels': 32, 'optimizer': 'adam', 'layers': 2, 'dropout': 0.1}"),
    ],
)
def test_the_best_configuration_can_be_pasted(front: Front, form: str, last_line: str) -> None:
    """Remarks are comments; the configuration has full precision and the space's order."""
    assert run("best", "digits-cnn", "-o", form).stdout.splitlines() == [
        "# trial 17 at 5 folds x 27 epochs, split_seed 0, data 3f2a, code 9c1e, seed 7",
        "# selected .9833 ±.0031   default .9812 ±.0042   gain .0133 [.0041, .0225]",
        "# tied with #29; lr is near its upper bound: widen it?",
        last_line,
    ]


def test_the_best_configuration_as_arguments(front: Front) -> None:
    """One line for a shell, without remarks."""
    expected = "--lr=0.0031 --channels=32 --optimizer=adam --layers=2 --dropout=0.1\n"
    assert run("best", "digits-cnn", "-o", "args").stdout == expected


def test_submit_prints_the_name(front: Front, study_file: Path) -> None:
    """The full name, so that it can be used with any project; --validate stores nothing."""
    assert run("submit", str(study_file), "--project", "team").stdout == f"{samples.NAME}\n"
    assert front.requests[-1].parent == "projects/team"
    assert run("submit", str(study_file), "--validate").exit_code == 0
    assert front.requests[-1].validate_only


def test_violations_are_one_line_each(front: Front, study_file: Path) -> None:
    """All of them, with path and remedy, on stderr, and the exit code of wrong usage."""
    violations = [Violation("budget.trials", "-1 is below 1", "use 1 or more"), Violation("seed", "is -3", "use 0")]
    front.answers["CreateStudy"] = refusing(InvalidStudy(violations))
    study_file.write_text("trainable: torch_cnn\nnope: 1\n")
    result = run("submit", str(study_file))
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("nope: is not a known key; ")
    assert lines[1:] == ["budget.trials: -1 is below 1; use 1 or more", "seed: is -3; use 0"]


def test_a_file_that_cannot_be_read_is_not_sent(front: Front, study_file: Path) -> None:
    """The server is not asked about a file of which nothing could be read, and control characters are escaped."""
    study_file.write_text('"evalu\\e[2Jation": {folds: 5}\n')
    result = run("submit", str(study_file))
    assert result.exit_code == 2
    assert result.stderr.startswith(r"evalu\x1b[2Jation: is not a known key; ")
    assert len(result.stderr.splitlines()) == 1
    assert not front.requests


@pytest.mark.parametrize(
    ("arguments", "rpc", "error", "code"),
    [
        (["best", "digits-cnn"], "GetBestConfig", NoCompleteTrial(samples.NAME), 4),
        (["rm", "digits-cnn"], "DeleteStudy", StudyActive(samples.NAME, "running"), 4),
        (["stop", "digits-cnn"], "StopStudy", StudyExists(samples.NAME, ["seed"]), 4),
    ],
)
def test_a_refusal_is_one_line(front: Front, arguments: list[str], rpc: str, error: SearchdError, code: int) -> None:
    """What the server will not do is said in its words, with exit code 4."""
    front.answers[rpc] = refusing(error)
    result = run(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"error: {error}\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "nowhere"], 3),
        (["logs", "digits-cnn/x"], 2),
        (["show", "No Name"], 2),
        (["submit", "no-such-file.yaml"], 2),
        (["submit", "a.yaml", "b.yaml", "--study-id", "both"], 2),
        (["leaderboard"], 2),
        (["leaderboard", "--label", "team"], 2),
        (["trials", "digits-cnn", "--state", "lost"], 2),
        (["ls", "--state", "lost"], 2),
        (["best", "digits-cnn", "-o", "xml"], 2),
        (["shwo"], 2),
        (["show"], 2),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(front: Front, arguments: list[str], code: int) -> None:
    """A wrong command line is 2, something that is not there 3; never a traceback."""
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")


def test_no_server_is_one_line_and_exit_code_5(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the address and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("SEARCHD_ADDRESS", address)
    result = run("ls")
    assert result.exit_code == 5
    assert result.stderr == (
        f"error: no searchd server answers at {address} (Connection refused); "
        "start one with `searchd up`, or set SEARCHD_ADDRESS\n"
    )


def test_several_servers_out_of_reach_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names each address of SEARCHD_ADDRESS once."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        addresses = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in (one, two)]
    monkeypatch.setenv("SEARCHD_ADDRESS", ", ".join(addresses))
    result = run("ls")
    assert result.exit_code == 5
    assert f"no searchd server answers at {addresses[0]} or {addresses[1]} (Connection refused); " in result.stderr
    monkeypatch.setenv("SEARCHD_ADDRESS", ",")
    assert run("ls").exit_code == 2


def test_watch_prints_a_line_for_each_event(front: Front) -> None:
    """Off a terminal: time, what, how; with -o json one event a line; the exit code is 0 for a study that succeeded."""
    ends(front, StudyState.SUCCEEDED)
    lines = run("watch", "digits-cnn").stdout.splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["trial 3 FAILED: CUDA out of memory", "study SUCCEEDED"]
    result = run("watch", "digits-cnn", "-o", "json")
    assert [json.loads(line)["revision"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.exit_code == 0


def test_a_failed_study_is_exit_code_1(front: Front, study_file: Path) -> None:
    """For watch and for submit --wait, with the study's reason."""
    ends(front, StudyState.FAILED, "no trial completed")
    for arguments in (["watch", "digits-cnn"], ["submit", str(study_file), "--wait"]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert result.stderr == "error: digits-cnn failed: no trial completed\n"
    ends(front, StudyState.SUCCEEDED)
    assert run("submit", str(study_file), "--wait").exit_code == 0


def test_ctrl_c_leaves_a_watch_quietly(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is stopped and nothing is an error."""

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("searchd.cli.studies.event_lines", interrupted)
    ends(front, StudyState.SUCCEEDED)
    result = run("watch", "digits-cnn")
    assert (result.exit_code, result.stderr) == (0, "")
    assert not any(isinstance(request, study_service_pb2.StopStudyRequest) for request in front.requests)


def test_logs_name_the_fold(front: Front) -> None:
    """Each line with its fold, or with -o json as the server sent it."""
    assert run("logs", "digits-cnn/17").stdout == "fold 1 | one\nfold 1 | two\n"
    assert front.requests[-1].name == f"{samples.NAME}/trials/17"
    assert json.loads(run("logs", f"{samples.NAME}/trials/17", "-f", "-o", "json").stdout) == {
        "repeat": 0,
        "fold": 1,
        "text": "one\ntwo\n",
    }
    assert front.requests[-1].follow


def test_stop_and_rm_say_what_they_did(front: Front) -> None:
    """The full name and what became of the study."""
    assert run("stop", "digits-cnn").stdout == f"{samples.NAME} STOPPING\n"
    assert run("rm", "digits-cnn").stdout == f"{samples.NAME} deleted\n"
