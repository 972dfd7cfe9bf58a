"""``searchd export``, against real gRPC on the loopback interface."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.domain.errors import StudyNotFound
from searchd.domain.study import StudyName
from searchd.v1 import study_service_pb2, trial_service_pb2
from searchd.wire.codec import encode_measurement, encode_study, encode_trial
from tests.contracts.makers import measurement
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving

POINTS = [measurement(trial, fold=fold, epoch=epoch) for trial in (1, 2) for fold in (0, 1) for epoch in (1, 2, 3)]


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A server with a study of two trials whose parameter ``mixed`` is a number for one and a text for the other."""
    study = samples.study()
    trials = [replace(samples.trial(number), parameters={"mixed": mixed}) for number, mixed in ((1, 0.5), (2, "auto"))]
    with serving(Front()) as front:
        monkeypatch.setenv("SEARCHD_ADDRESS", front.address)
        front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(study=encode_study(study))
        listed = trial_service_pb2.ListTrialsResponse(trials=[encode_trial(trial, {}) for trial in trials])
        front.answers["ListTrials"] = lambda *_: listed
        front.answers["ListMeasurements"] = lambda request, *_: trial_service_pb2.ListMeasurementsResponse(
            measurements=[
                encode_measurement(m)
                for m in POINTS
                if "/trials/" not in request.parent or request.parent.endswith(f"/trials/{m.trial}")
            ]
        )
        yield front


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables(front: Front, tmp_path: Path, form: str) -> None:
    """Trials and measurements become a file each, with parameters and metrics as columns; the folder is made."""
    folder = tmp_path / "a" / "b"
    result = run("export", "digits-cnn", str(folder), "--to", form)
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n"), result.output
    read = pd.read_csv if form == "csv" else pd.read_parquet
    trials, points = (read(folder / f"{name}.{form}") for name in ("trials", "measurements"))
    assert list(trials["number"]) == [1, 2]
    assert list(trials["params.mixed"].astype(str)) == ["0.5", "auto"]
    assert list(zip(points["trial"], points["fold"], points["epoch"], strict=True)) == [
        (m.trial, m.fold, m.epoch) for m in POINTS
    ]
    assert set(points["metrics.accuracy"]) == {0.9}


def test_for_tensorboard(front: Front, tmp_path: Path) -> None:
    """The sink that a server uses writes the same runs on the client's side, and twice is once."""
    for _ in range(2):
        result = run("export", "digits-cnn", str(tmp_path), "--to", "tensorboard")
        assert result.exit_code == 0, result.output
    place = Path(result.stdout.strip())
    assert place.parent == tmp_path / "tensorboard" / "default"
    runs = sorted(run for run in place.glob("trial-*/*") if run.is_dir())
    assert [str(run.relative_to(place)) for run in runs] == [
        f"trial-{number:04d}/fold-{fold}" for number in (1, 2) for fold in (0, 1)
    ]
    for run_folder in runs:
        events = EventAccumulator(str(run_folder))
        events.Reload()
        assert [event.step for event in events.Scalars("accuracy")] == [1, 2, 3]


def test_a_package_that_is_missing(front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the vendor's package the command says what to install."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "searchd.tracking.wandb", raising=False)
    result = run("export", "digits-cnn", str(tmp_path), "--to", "wandb")
    assert result.exit_code == 2
    assert result.stderr == 'error: wandb needs wandb; pip install "searchd[tracking]"\n'


def test_a_study_that_there_is_not(front: Front, tmp_path: Path) -> None:
    """Nothing is written for a study that does not exist."""
    missing = StudyNotFound(StudyName("projects/default/studies/none"))
    front.answers["GetStudy"] = lambda _, context: refuse(context, missing)
    result = run("export", "none", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert not (tmp_path / "out").exists()


def test_an_unknown_form(front: Front, tmp_path: Path) -> None:
    """A form that there is not is refused with those that there are."""
    result = run("export", "digits-cnn", str(tmp_path), "--to", "excel")
    assert result.exit_code == 2
    assert "parquet" in result.stderr
