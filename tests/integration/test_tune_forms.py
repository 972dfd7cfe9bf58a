"""Ray Tune's own forms, unmodified, run by our worker: the same metrics as under a Tuner, and their checkpoints."""

import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from searchd.domain.evaluation import Evaluation
from searchd.domain.study import Dataset, Resources, StudyName
from searchd.domain.trial import TrialNumber
from searchd.ports.engine import Ended, Outcome, PoolKey, Report, Segment, Task, WorkerId
from searchd.trainable import registered
from searchd.worker.messages import WorkerSettings
from searchd.worker.sources import fingerprint
from searchd.worker.trial_run import try_once
from searchd.worker.worker import Worker

DATA = str(Path(__file__).parents[1] / "data")
CODE = fingerprint([Path(DATA) / "tune_trainables_for_tests.py"])
SEED = 7


class Clock:
    """The time does not matter here."""

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC)


class NoData:
    """These trainables have data of their own."""

    def load(self, dataset: Dataset, fingerprint: str) -> Any:
        raise AssertionError("nobody asks")

    def split(self, dataset: Dataset, evaluation: Evaluation, repeat: int, fold: int, fingerprint: str) -> Any:
        raise AssertionError("nobody asks")


def segment(trainable: str, target: int, attempt: int = 1, trial: int = 1, **fixed: Any) -> Segment:
    task = Task(
        StudyName("projects/default/studies/s"), trainable, fixed, None, "", Evaluation(epochs=6), SEED, ("score",)
    )
    return Segment(task, TrialNumber(trial), {"lr": 0.1, "width": 8}, 0, 0, attempt, target)


def run(storage: Path, *segments: Segment) -> list[tuple[list[Report], Ended]]:
    """Run segments one after the other in a fresh worker; reports and end of each."""
    worker = Worker(
        WorkerSettings(
            WorkerId("w1"),
            PoolKey(CODE, Resources()),
            ("tune_trainables_for_tests",),
            (DATA,),
            storage,
            timedelta(seconds=60),
            installed=False,
        ),
        NoData(),
        Clock(),
    )
    thread = threading.Thread(target=worker.main, daemon=True)
    thread.start()
    results = []
    for one in segments:
        reports: list[Report] = []
        batch: tuple[Segment, ...] = (one,)
        ended: Ended | None = None
        while ended is None:
            for message in worker.exchange(1, 0, batch, (), timedelta(seconds=60)).messages:
                reports += message.reports
                ended = message.ended
            batch = ()
        results.append((reports, ended))
    worker.retire()
    thread.join(timeout=20)
    assert not thread.is_alive()
    return results


UNDER_A_TUNER = """
import json, sys, tempfile
import ray
from ray import tune
import tune_trainables_for_tests as forms

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)

def fit(trainable):
    results = tune.Tuner(
        trainable,
        param_space={"lr": 0.1, "width": 8, "offset": 0.5},
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(), stop={"training_iteration": 6}, verbose=0),
    ).fit()
    assert results[0].error is None, results[0].error
    return results[0].metrics_dataframe[["score", "eval/loss"]].to_dict("records")

with open(sys.argv[1], "w") as file:
    json.dump({form.__name__: fit(form) for form in (forms.Descent, forms.descent)}, file)
ray.shutdown()
"""


@pytest.fixture(scope="module")
def under_a_tuner() -> dict[str, list[dict[str, float]]]:
    """Metrics of every epoch by trainable, as Tuner.fit() collects them with the same parameters.

    In a process of its own, so that neither its Ray nor its environment meets those of other tests.
    """
    with TemporaryDirectory(prefix="tuner-") as folder:  # a short path: Ray's sockets lie in it
        return fitted(Path(folder))


def fitted(folder: Path) -> dict[str, list[dict[str, float]]]:
    """See under_a_tuner; everything is left in the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "PYTHONPATH": DATA,
        "TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    done = subprocess.run(
        [sys.executable, "-c", UNDER_A_TUNER, str(folder / "metrics.json")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    metrics: dict[str, list[dict[str, float]]] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_a_class_gives_the_metrics_that_it_gives_under_a_tuner(
    under_a_tuner: dict[str, list[dict[str, float]]], tmp_path: Path
) -> None:
    """An unmodified Trainable class reports exactly what Tuner.fit() collects, without Ray's bookkeeping."""
    [(reports, ended)] = run(tmp_path, segment("Descent", 6, offset=0.5))
    assert [dict(r.metrics) for r in reports] == under_a_tuner["Descent"]
    assert len(reports) == 6
    assert ended.outcome is Outcome.REACHED


def test_a_function_gives_the_metrics_that_it_gives_under_a_tuner(
    under_a_tuner: dict[str, list[dict[str, float]]], tmp_path: Path
) -> None:
    """An unmodified function that calls tune.report reports exactly what Tuner.fit() collects."""
    [(reports, ended)] = run(tmp_path, segment("descent", 6, offset=0.5))
    assert [dict(r.metrics) for r in reports] == under_a_tuner["descent"]
    assert len(reports) == 6
    assert ended.outcome is Outcome.REACHED


@pytest.mark.parametrize("trainable", ["Descent", "saving"])
def test_checkpoints_carry_over_to_another_worker(trainable: str, tmp_path: Path) -> None:
    """A paused class, or function that reports checkpoints, goes on elsewhere as if it had never stopped."""
    first = segment(trainable, 2, offset=0.5)
    [(start, _)] = run(tmp_path, first)
    [(rest, ended)] = run(tmp_path, replace(first, attempt=2, target=6))
    [(whole, _)] = run(tmp_path / "whole", segment(trainable, 6, offset=0.5))
    assert [r.epoch for r in rest] == [3, 4, 5, 6]
    assert [r.metrics for r in start + rest] == [r.metrics for r in whole]
    assert ended.outcome is Outcome.REACHED


@pytest.mark.parametrize(
    ("trainable", "outcome", "epoch", "reason"),
    [
        ("descent", Outcome.FINISHED, 2, ""),
        ("Descent", Outcome.FINISHED, 2, ""),
        ("failing", Outcome.FAILED, 1, "ValueError: out of luck (tune_trainables_for_tests.py:"),
        ("Failing", Outcome.FAILED, 0, "ValueError: no set-up today (tune_trainables_for_tests.py:"),
        ("mute", Outcome.FAILED, 0, "never reported"),
    ],
)
def test_tune_forms_end_like_any_other(
    trainable: str, outcome: Outcome, epoch: int, reason: str, tmp_path: Path
) -> None:
    """Returning early (``done`` for a class), raising and never reporting end as they do for a generator."""
    home = Path.cwd()
    [(_, ended), (reports, after)] = run(
        tmp_path, segment(trainable, 4, stop_at=2), segment("descent", 2, trial=2, offset=0.5)
    )
    assert (ended.outcome, ended.epoch) == (outcome, epoch)
    assert reason in ended.reason
    assert (len(reports), after.outcome) == (2, Outcome.REACHED)
    assert Path.cwd() == home


def test_files_that_a_tune_form_writes_become_artifacts(tmp_path: Path) -> None:
    """Relative paths lead into the fold run's artifacts, as they lead into the trial's folder under Ray."""
    run(tmp_path, segment("descent", 1, note=1))
    assert (tmp_path / "artifacts/projects/default/studies/s/1/0-0/note.txt").read_text() == "8"


def test_abilities_of_tune_forms_are_seen_without_running_them(tmp_path: Path) -> None:
    """A class can be paused if it saves checkpoints, a function if it asks for one; folds are declared."""
    run(tmp_path, segment("descent", 1))
    cards = {name: (r.form.value, r.checkpoints, r.folds) for name, r in registered().items()}
    assert cards["Descent"] == ("tune_class", True, False)
    assert cards["Failing"] == ("tune_class", False, False)
    assert cards["saving"] == ("tune_function", True, False)
    assert cards["descent"] == ("tune_function", False, False)
    assert cards["with_folds"] == ("tune_function", False, True)


def test_a_tune_function_can_ask_for_its_fold(tmp_path: Path) -> None:
    """``current()`` gives a Ray Tune function the context of its fold run, on whatever thread Ray runs it."""
    one = segment("with_folds", 1)
    one = replace(one, fold=3)
    [(reports, _)] = run(tmp_path, one)
    assert reports[0].metrics == {"score": 3.0}


def test_trying_a_tune_class_once(tmp_path: Path) -> None:
    """try_once runs one epoch of a Tune class in this process."""
    run(tmp_path, segment("descent", 1))
    state = random.getstate()
    tried = try_once(
        segment("Descent", 1, offset=0.5).task,
        {"lr": 0.1, "width": 8},
        datasets=NoData(),
        modules=(),
        installed=False,
        storage=tmp_path,
        device="cpu",
    )
    random.setstate(state)
    assert tried.metrics["score"] == pytest.approx(8.5 * 0.9)
