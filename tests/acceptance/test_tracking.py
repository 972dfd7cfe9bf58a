"""Studies that are tracked, on a real server, whatever becomes of the places that they name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from searchd.domain.study import StudyState
from tests.acceptance.server import ANNOUNCED, Server, environment, eventually, searchd

TRIALS = 2
EPOCHS = 10

Points = dict[tuple[int, int], float]


def started(server: Server, vendors: Path) -> None:
    """Start a server that finds packages in a folder before all others."""
    server.launch({"PYTHONPATH": f"{vendors}:{environment()['PYTHONPATH']}"})
    server.address = server.says(ANNOUNCED)


def shown(data_dir: Path) -> Points:
    """Losses by trial and epoch, as TensorBoard reads them; fails if one is there twice."""
    found: Points = {}
    for run in data_dir.glob("storage/tracking/tensorboard/default/*/trial-*/fold-0"):
        events = EventAccumulator(str(run))
        events.Reload()
        scalars = events.Scalars("loss") if "loss" in events.Tags()["scalars"] else []
        assert len({event.step for event in scalars}) == len(scalars)
        found |= {(int(run.parent.name.removeprefix("trial-")), event.step): event.value for event in scalars}
    return found


def measured(study: Any) -> Points:
    """Losses by trial and epoch, as the server has them."""
    return {(m.trial, m.epoch): m.metrics["loss"] for m in study.measurements()}


def tracking_process(server: Server) -> psutil.Process:
    """The process that writes."""
    (found,) = [p for p in psutil.Process(server.pid).children() if "searchd.tracking.host" in p.cmdline()]
    return found


def test_sinks_that_work_hang_and_fail(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """While one sink hangs for ever and one is broken, a study ends as ever and TensorBoard gets every point once,
    through the deaths of the tracking process and of the server; ``searchd show`` says what does not work."""
    vendors = tmp_path / "vendors"
    vendors.mkdir()
    (vendors / "wandb.py").write_text("import time\nwhile True:\n    time.sleep(60)\n")
    (vendors / "mlflow.py").write_text("raise ImportError('this one is broken')\n")
    server = make_server()
    started(server, vendors)
    with server.client() as client:
        study = client.create_study(
            study_id="tracked",
            trainable="quadratic",
            fixed={"seconds": 0.4},
            search={"algorithm": "random"},
            scheduler={"algorithm": "none"},
            evaluation={"epochs": EPOCHS},
            budget={"trials": TRIALS, "slots": 1},
            track=["tensorboard", "mlflow", "wandb"],
        )
        eventually(lambda: len(shown(server.data_dir)) >= 2)
        tracking_process(server).kill()
        before = len(measured(study))
        eventually(lambda: len(shown(server.data_dir)) > before)
    server.kill()
    started(server, vendors)
    with server.client() as client:
        study = client.study("tracked")
        assert study.wait(progress=False).state is StudyState.SUCCEEDED
        expected = measured(study)
        assert len(expected) == TRIALS * EPOCHS
        eventually(lambda: shown(server.data_dir).keys() == expected.keys())
        eventually(lambda: any(t.problem for t in study.get().tracked))
    show = searchd("show", "tracked", "-o", "table", address=server.address)
    assert "this one is broken" in show.stdout
    assert "# tracked: tensorboard in" in show.stdout
