"""What a study tells, on a terminal of 80 columns, against real gRPC on the loopback interface."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.client import Client
from searchd.domain.errors import ImportanceUnknown, InvalidArgument
from searchd.domain.insight import Curve, ParetoTrial
from searchd.domain.objective import Goal, Objective
from searchd.v1 import leaderboard_service_pb2, study_service_pb2
from searchd.wire.codec import encode_curve, encode_objective, encode_pareto_trial, encode_study
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving

OBJECTIVES = (Objective("accuracy", Goal.MAXIMIZE), Objective("size", Goal.MINIMIZE))
STUDY = replace(samples.study(), spec=replace(samples.SPEC, objectives=OBJECTIVES))


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    with serving(Front()) as front:
        monkeypatch.setenv("SEARCHD_ADDRESS", front.address)
        monkeypatch.setenv("COLUMNS", "80")
        yield front


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def lines(*arguments: str) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def two_objectives(front: Front, *members: tuple[int, float, float]) -> None:
    """Have the study optimise accuracy and size, with these trials (number, accuracy, size) on the front."""
    answer = leaderboard_service_pb2.ListParetoTrialsResponse(
        objectives=map(encode_objective, OBJECTIVES),
        trials=[
            encode_pareto_trial(ParetoTrial(samples.trial(n, lr=0.1 / n), tuple(rest)), {}) for n, *rest in members
        ],
        reference=(0.5, 900.0) if members else (),
        hypervolume=212.25 if members else None,
    )
    front.answers["ListParetoTrials"] = lambda *_: answer
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(study=encode_study(STUDY))


def test_the_front_is_a_table(front: Front) -> None:
    """Its size, its hypervolume with what that is measured from, and each trial with its values and parameters."""
    two_objectives(front, (17, 0.9833, 820.0), (29, 0.95, 440.5))
    assert lines("pareto", "digits-cnn", "-o", "table") == [
        "2 trials on the front: maximize accuracy, minimize size",
        "hypervolume 212.2 from the worst seen: accuracy .5, size 900",
        "",
        "trial  accuracy   size  channels  layers  lr       optimizer",
        "   17     .9833  820.0  32        2       5.88e-3  adam",
        "   29     .9500  440.5  32        2       3.45e-3  adam",
    ]


def test_best_of_several_objectives_is_one_for_each(front: Front) -> None:
    """Each objective's best of the front, ready to paste, and where the whole front is; in every format."""
    two_objectives(front, (17, 0.9833, 820.0), (29, 0.95, 440.5))
    assert lines("best", "digits-cnn") == [
        "# best accuracy: trial 17   accuracy .9833   size 820",
        "{channels: 32, layers: 2, lr: 0.0058823529411764705, optimizer: adam}",
        "# best size: trial 29   accuracy .95   size 440.5",
        "{channels: 32, layers: 2, lr: 0.003448275862068966, optimizer: adam}",
        "# searchd pareto digits-cnn lists all 2 trials of the front",
    ]
    assert [line.split()[0] for line in lines("best", "digits-cnn", "-o", "args")] == ["--channels=32"] * 2
    assert lines("best", "digits-cnn", "-o", "python")[1].startswith("{'channels': 32")
    best = json.loads(run("best", "digits-cnn", "-o", "json").stdout)["best"]
    assert {metric: member["trial"]["number"] for metric, member in best.items()} == {"accuracy": 17, "size": 29}


def test_without_a_trial_on_the_front_there_is_nothing_to_show(front: Front) -> None:
    """The table says so, best is refused, and the curve has no picture."""
    two_objectives(front)
    nothing = ["no trial that keeps all limits has completed the top rung yet"]
    assert lines("pareto", "digits-cnn", "-o", "table") == nothing
    assert run("best", "digits-cnn").exit_code == 4
    empty = encode_curve(Curve(samples.study(), ()))
    front.answers["GetCurve"] = lambda *_: empty
    assert lines("curve", "digits-cnn", "-o", "table") == nothing


def test_importance_is_a_bar_for_each_parameter(front: Front) -> None:
    """With how it was evaluated, over how many trials, and at which rung."""
    assert lines("importance", "digits-cnn", "-o", "table") == [
        "what accuracy depends on",
        "ped-anova over 13 trials at rung 1x9: the best 38% against all",
        "",
        "parameter  share",
        "lr           75%  ██████████████████████████████",
        "optimizer    25%  ██████████",
    ]
    assert lines("importance", "digits-cnn", "--metric", "loss")
    assert front.requests[-1].metric == "loss"


@pytest.mark.parametrize(
    ("error", "code"),
    [(ImportanceUnknown(samples.NAME, "3 trials"), 4), (InvalidArgument("metric", "is none", "use another"), 2)],
)
def test_importance_that_cannot_be_told_is_one_line(front: Front, error: Any, code: int) -> None:
    """The server's refusal is the client's error, and the command's line and exit code."""
    front.answers["GetImportance"] = lambda _, context: refuse(context, error)
    result = run("importance", "digits-cnn")
    assert (result.exit_code, result.stderr) == (code, f"error: {error}\n")
    with Client() as client, pytest.raises(type(error), match=r"3 trials|use another"):
        client.study("digits-cnn").importance()


def test_a_curve_is_a_picture_and_a_table(front: Front) -> None:
    """What is shown against what, within 80 columns; each improvement and the end with what it took."""
    shown = lines("curve", "digits-cnn", "-o", "table", "--against", "cpu")
    assert shown[0] == "digits-cnn: best accuracy (higher is better) by CPU-seconds"
    assert max(map(len, shown)) == 80
    assert shown[2].startswith(".9833 │")
    assert shown[9].startswith("  .97 │")
    assert shown[11].split() == ["0", "2400", "CPU-seconds"]
    assert shown[12:] == [
        "",
        "          accuracy  trials  epochs   CPU-s  time",
        "trial 1      .9700       2      30   100.0   20s",
        "trial 17     .9833      20     200  1000.0    2m",
        "end          .9833      38     390  2400.0    4m",
    ]
    assert lines("curve", "digits-cnn", "-o", "table")[11].split() == ["0", "38", "trials", "ended"]


def test_a_hypervolume_that_is_not_known_is_a_dash(front: Front) -> None:
    """A curve without values has no picture, and still tells what was done."""
    points = tuple(replace(point, value=None) for point in samples.CURVE.points)
    unknown = encode_curve(Curve(STUDY, points))
    front.answers["GetCurve"] = lambda *_: unknown
    shown = lines("curve", "digits-cnn", "-o", "table")
    assert shown[0].startswith("digits-cnn: best hypervolume (higher is better)")
    assert shown[3].split()[:4] == ["trial", "1", "-", "2"]
