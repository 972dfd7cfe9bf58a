"""Whole studies on a real server, well-behaved and not."""

import json
from pathlib import Path

import pytest

from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState
from tests.acceptance.server import Server, searchd

BAD = """\
study_id: bad
trainable: torch_cn
colour: red
dataset: {uri: DATA, target: label}
search_space:
  lr: {loguniform: [0, 1.0e-1]}
  width: {randint: [8, 2]}
  kind: {choice: []}
  momentum: {uniform: [0, 0.9], when: {optimiser: [sgd]}}
objectives: {metric: accuracy, goal: maximize}
evaluation: {folds: 5, split: stratified}
resources: {gpus: 64}
budget: {trials: -3}
"""


def test_everything_wrong_at_once(shared_server: Server, tmp_path: Path) -> None:
    """A file with many mistakes is refused with every one of them, path and remedy, exit code 2, and nothing stored."""
    data = tmp_path / "rows.csv"
    data.write_text("a,b\n1,2\n3,4\n")
    file = tmp_path / "bad.yaml"
    file.write_text(BAD.replace("DATA", str(data)))
    done = searchd("submit", str(file), address=shared_server.address)
    assert done.returncode == 2, done.stderr
    for path in (
        "trainable",
        "colour",
        "dataset.target",
        "search_space.lr.loguniform",
        "search_space.width.randint",
        "search_space.kind.choice",
        "search_space.momentum.when.optimiser",
        "resources.gpus",
        "budget.trials",
    ):
        assert any(line.startswith(f"{path}:") for line in done.stderr.splitlines()), (path, done.stderr)
    assert searchd("show", "bad", address=shared_server.address).returncode == 3


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"trainable": "quadratic", "objectives": [{"metric": "los", "goal": "minimize"}]}, "objectives[0].metric"),
        ({"trainable": "quadratic", "fixed": {"xx": 1}}, "fixed.xx"),
        (
            {
                "trainable": "forgetful",
                "evaluation": {"epochs": 9},
                "scheduler": {"algorithm": "asha", "mode": "promotion"},
            },
            "scheduler.mode",
        ),
        (
            {"trainable": "folded", "dataset": {"builtin": "iris"}, "evaluation": {"folds": 60, "split": "stratified"}},
            "evaluation.folds",
        ),
        ({"trainable": "folded", "dataset": {"uri": "/etc/passwd.csv"}}, "dataset.uri"),
    ],
)
def test_refused(shared_server: Server, tmp_path: Path, fields: dict[str, object], path: str) -> None:
    """What only the server can know is refused with its path."""
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({"study_id": "refused", **fields}))
    done = searchd("submit", str(file), address=shared_server.address)
    assert done.returncode == 2, done.stderr
    assert any(line.startswith(f"{path}:") for line in done.stderr.splitlines()), done.stderr


@pytest.mark.parametrize(
    ("trainable", "state", "reason"),
    [
        ("raises", TrialState.FAILED, "the numbers do not add up"),
        ("nan", TrialState.INFEASIBLE, "nan"),
        ("silent", TrialState.FAILED, "never reported"),
        ("wrong_metric", TrialState.FAILED, "loss"),
        ("exits", TrialState.FAILED, "attempt 2 of 2"),
        ("hangs", TrialState.FAILED, "hung: nothing was reported"),
    ],
)
def test_misbehaving_trainables(shared_server: Server, trainable: str, state: TrialState, reason: str) -> None:
    """A trainable that misbehaves ends its trial with the reason, and its study as failed."""
    with shared_server.client() as client:
        study = client.create_study(
            study_id=f"bad-{trainable.replace('_', '-')}",
            trainable=trainable,
            search={"algorithm": "random"},
            budget={"trials": 1},
            retry={"attempts": 2, "segment_timeout": "2s"},
        )
        final = study.wait(progress=False)
        assert final.state is StudyState.FAILED
        trial = study.trial(1)
        assert trial.state is state
        assert reason in trial.reason


def test_failures_leave_the_others(shared_server: Server) -> None:
    """While some trials of a server crash and hang, another study goes on and succeeds."""
    with shared_server.client() as client:
        bad = client.create_study(
            study_id="crashing", trainable="exits", search={"algorithm": "random"}, budget={"trials": 2, "slots": 1}
        )
        good = client.create_study(
            study_id="good",
            trainable="quadratic",
            search={"algorithm": "random"},
            evaluation={"epochs": 9},
            budget={"trials": 20},
        )
        assert good.wait(progress=False).state is StudyState.SUCCEEDED
        assert bad.wait(progress=False).state is StudyState.FAILED


def test_two_shapes_on_a_full_cluster(shared_server: Server) -> None:
    """Two studies of different resource shapes on a full cluster both finish."""
    with shared_server.client() as client:
        studies = [
            client.create_study(
                study_id=f"shape-{cpus}",
                trainable="quadratic",
                fixed={"seconds": 0.05},
                search={"algorithm": "random"},
                scheduler={"algorithm": "none"},
                evaluation={"epochs": 3},
                resources={"cpus": cpus},
                budget={"trials": 40},
            )
            for cpus in (1, 2)
        ]
        for study in studies:
            final = study.wait(progress=False)
            assert final.state is StudyState.SUCCEEDED
            assert final.progress.trials["completed"] == 40


def test_one_slot_is_reproducible(shared_server: Server) -> None:
    """On one slot two studies of the same seed propose the same configurations and end them in the same way."""
    with shared_server.client() as client:
        lived = []
        for study_id in ("twin-a", "twin-b"):
            study = client.create_study(
                study_id=study_id,
                trainable="quadratic",
                seed=5,
                evaluation={"epochs": 9},
                budget={"trials": 15, "slots": 1},
            )
            assert study.wait(progress=False).state is StudyState.SUCCEEDED
            lived.append([(trial.params, trial.state, trial.rung_scores) for trial in study.trials()])
        assert len(lived[0]) == 15
        assert lived[0] == lived[1]


def test_folds_and_command_line(shared_server: Server, tmp_path: Path) -> None:
    """A cross-validated study is submitted, watched, ranked and taken away with the command line alone."""
    file = tmp_path / "wine.yaml"
    file.write_text(
        "study_id: wine\ntrainable: sklearn_classifier\ndataset: {builtin: wine}\nseed: 1\n"
        "evaluation: {folds: 5, racing: forgiving}\nsearch: {algorithm: tpe}\nbudget: {trials: 12}\n"
    )
    done = searchd("submit", str(file), "--wait", address=shared_server.address)
    assert done.returncode == 0, done.stderr
    board = json.loads(searchd("leaderboard", "wine", "-o", "json", address=shared_server.address).stdout)
    best = json.loads(searchd("best", "wine", "-o", "json", address=shared_server.address).stdout)
    assert board["entries"][0]["mean"] > 0.9
    assert best["best"]["trial"]["number"] == board["entries"][0]["trial"]["number"]
    assert best["default_configuration"]["mean"] <= best["best"]["mean"]
    for command in ("ls", "show wine", "trials wine", "logs wine/1", "trainables", "cluster", "best wine"):
        done = searchd(*command.split(), address=shared_server.address)
        assert done.returncode == 0, (command, done.stderr)
    assert searchd("rm", "wine", address=shared_server.address).returncode == 0
    assert searchd("show", "wine", address=shared_server.address).returncode == 3


def test_unreachable() -> None:
    """Without a server every command says so in one line, with exit code 5."""
    done = searchd("ls", address="127.0.0.1:1")
    assert done.returncode == 5
    assert len(done.stderr.strip().splitlines()) == 1
