"""The sink for MLflow, read back by its client from a database."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from searchd.domain.study import Study
from searchd.domain.trial import TrialNumber, TrialState
from searchd.tracking.mlflow import KEY, MlflowSink, public
from searchd.tracking.sink import History, News, Sink, Surroundings, key
from searchd.tracking.vendors import open_sink
from tests.contracts.makers import AT, trial
from tests.contracts.sink import Shown, SinkContract, complete, measured

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, by newer SQLAlchemy


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all tests here: MLflow takes seconds to make a database."""
    return tmp_path_factory.mktemp("mlflow")


class TestMlflowSink(SinkContract):
    """MLflow's sink keeps the contract."""

    @pytest.fixture(autouse=True)
    def folder(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        self._folder = database
        self._client = MlflowClient(f"sqlite:///{database}/mlflow.db")

    def opened(self, study: Study, history: History) -> Sink:
        links = {"artifacts": "/artifacts/of/1"}
        return open_sink("mlflow", study, Surroundings(self._folder, history, lambda _: links))

    def _run(self, study: Study, number: int | None) -> Run:
        experiment = self._client.get_experiment_by_name("searchd/default")
        assert experiment is not None
        (run,) = self._client.search_runs(
            [experiment.experiment_id],
            f"tags.`{KEY}` = '{key(study, None if number is None else TrialNumber(number))}'",
        )
        return run

    def shown(self, study: Study, number: int) -> Shown:
        run = self._run(study, number)
        assert run.data.tags["mlflow.parentRunId"] == self._run(study, None).info.run_id
        series: dict[str, dict[int, float]] = {}
        for name in run.data.metrics:
            points = self._client.get_metric_history(run.info.run_id, name)
            assert len(points) == len({(point.step, point.timestamp) for point in points}), points
            series[name] = {p.step: p.value for p in sorted(points, key=lambda p: p.timestamp)}
        return Shown(run.data.params, series, f"{run.data.tags} {run.info.status}")

    def shown_of_study(self, study: Study) -> tuple[Mapping[str, float], str]:
        run = self._run(study, None)
        return run.data.metrics, f"{run.data.tags} {run.info.status}"

    def test_a_run_that_was_deleted_by_hand(self, of: Study) -> None:
        """A trial whose run somebody deleted stays deleted, and stops no other."""
        self.write(of, News(of, [trial(1), trial(2)]))
        self._client.delete_run(self._run(of, 1).info.run_id)
        self.write(of, News(of, [complete(1), complete(2)], [*measured(1), *measured(2)]))
        assert self.shown(of, 2).series["fold-0/accuracy"]
        with pytest.raises(ValueError, match="unpack"):
            self._run(of, 1)

    def test_how_trials_ended(self, of: Study) -> None:
        """A stopped trial is finished in MLflow's terms, and a failed one failed."""
        stopped, failed = (trial(n).ended(s, AT) for n, s in ((1, TrialState.STOPPED), (2, TrialState.FAILED)))
        self.write(of, News(of, [stopped, failed]))
        assert [self._run(of, n).info.status for n in (1, 2)] == ["FINISHED", "FAILED"]

    def test_a_server_of_the_users(self, of: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """MLFLOW_TRACKING_URI says where runs go, and a password in it is not shown."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self._folder}/mlflow.db")
        around = Surroundings(tmp_path / "unused", measured, lambda _: {})
        sink = MlflowSink(of, around)
        sink.write(News(of, [trial()]))
        assert self._run(of, 1)
        assert not (tmp_path / "unused").exists()
        assert public("https://ann:secret@host:5000/x") == "https://host:5000/x"
