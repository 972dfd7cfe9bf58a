"""From a CSV file to the best model, on a server that lives no longer than the command."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sklearn.datasets import load_wine

from searchd.cli.auto import close_search
from searchd.client import Trial
from searchd.domain.study import StudyState
from tests.acceptance.server import Server, free_port, processes_of, searchd


def wine(folder: Path) -> Path:
    """A CSV of three classes, beside a counter of rows."""
    frame = load_wine(as_frame=True).frame
    frame["target"] = frame["target"].map({0: "barolo", 1: "grignolino", 2: "barbera"})
    frame.insert(0, "bottle", range(len(frame)))
    frame.to_csv(folder / "wine.csv", index=False)
    return folder / "wine.csv"


def test_a_table_is_searched_without_a_server(tmp_path: Path) -> None:
    """It says what it decides, starts a server, searches, confirms, shows the best, and leaves nothing running."""
    kept = tmp_path / "kept"
    options = ["--trials", "6", "--time", "90s", "--data-dir", str(kept)]
    nobody = f"127.0.0.1:{free_port()}"
    done = searchd("auto", str(wine(tmp_path)), "--target", "target", *options, address=nobody, timeout=170)
    assert done.returncode == 0, done.stderr
    assert "# classification: 'target' holds text, 3 different" in done.stdout
    assert "# without column 'bottle', which counts the rows (otherwise: --keep bottle)" in done.stdout
    assert f"no server answers at {nobody}: starting one, and a local Ray" in done.stdout
    assert "study SUCCEEDED" in done.stdout
    assert "confirmed" in done.stdout
    assert "classifier: " in done.stdout.splitlines()[-2]
    assert processes_of(kept) == []


def test_a_table_outside_the_data_root(shared_server: Server) -> None:
    """A server that answers is used, and refuses a file that lies where it may not read, with where it may."""
    with TemporaryDirectory() as outside:
        done = searchd("auto", str(wine(Path(outside))), "--target", "target", address=shared_server.address)
    assert done.returncode == 2
    assert done.stderr.startswith("dataset.uri: ")
    assert "is outside the directories that data may come from; put it under " in done.stderr


def test_a_search_that_is_closed_is_confirmed(shared_server: Server) -> None:
    """When the time for searching is over no trial starts any more, and the best are confirmed."""
    with shared_server.client() as client:
        handle = client.create_study(
            study_id="closed",
            trainable="sklearn_classifier",
            dataset={"builtin": "wine"},
            fixed={"classifier": "naive_bayes"},
            search={"algorithm": "random"},
            evaluation={"folds": 3, "confirm": {}},
            budget={"trials": 1_000_000, "wall_time": "10m"},
        )
        next(event for event in handle.watch() if isinstance(event.value, Trial) and event.value.state.ended)
        close_search(handle)
        ended = handle.wait(progress=False)
        assert (ended.state, ended.reason) == (StudyState.SUCCEEDED, "")
        assert ended.max_trials < 10_000
        assert handle.best().confirmed is not None
        close_search(handle)
        assert handle.get().state is StudyState.SUCCEEDED


def test_groups_can_be_limited(shared_server: Server) -> None:
    """A study may go by the worst group and limit the gap between groups; each trial has the figures."""
    with shared_server.client() as client:
        handle = client.create_study(
            study_id="fair",
            trainable="sklearn_classifier",
            dataset={"builtin": "digits", "drop": ["pixel_0_0"]},
            fixed={"classifier": "naive_bayes", "by": "pixel_7_3", "explain": False},
            search={"algorithm": "random"},
            objectives=[{"metric": "worst_group_accuracy", "goal": "maximize"}],
            constraints=[
                {"metric": "group_gap", "at_most": 1.0},
                {"metric": "accuracy[pixel_7_3=16]", "at_least": 0.1},
            ],
            evaluation={"folds": 2},
            budget={"trials": 2},
        )
        assert handle.wait(progress=False).state is StudyState.SUCCEEDED
        metrics = handle.measurements(1)[0].metrics
        assert metrics["worst_group_accuracy"] == min(v for name, v in metrics.items() if name.startswith("accuracy["))
