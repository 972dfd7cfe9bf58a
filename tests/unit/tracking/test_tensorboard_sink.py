"""The sink for TensorBoard, read back by TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from searchd.domain.study import Study
from searchd.tracking.sink import History, News, Sink, Surroundings
from searchd.tracking.vendors import open_sink
from tests.contracts.makers import trial
from tests.contracts.sink import CURVES, Shown, SinkContract, complete, measured, same


class TestTensorBoardSink(SinkContract):
    """TensorBoard's sink keeps the contract."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self._folder = tmp_path

    def opened(self, study: Study, history: History) -> Sink:
        links = {"artifacts": "/artifacts/of/1"}
        return open_sink("tensorboard", study, Surroundings(self._folder, history, lambda _: links))

    def _of(self, study: Study) -> Path:
        stamp = study.created_at.strftime("%Y%m%d-%H%M%S")
        return self._folder / "default" / f"{study.name.rsplit('/', 1)[1]}-{stamp}"

    def shown(self, study: Study, number: int) -> Shown:
        folder = self._of(study) / f"trial-{number:04d}"
        run = _loaded(folder)
        start = run.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        values = metadata.parse_session_start_info_plugin_data(start).hparams
        parameters = {name: str(getattr(value, value.WhichOneof("kind"))) for name, value in values.items()}
        series = dict(_scalars(run))
        for fold in sorted(folder.glob("fold-*")):
            series |= {f"{fold.name}/{tag}": curve for tag, curve in _scalars(_loaded(fold)).items()}
        return Shown(parameters, series, _text(run, "trial"))

    def shown_of_study(self, study: Study) -> tuple[Mapping[str, float], str]:
        run = _loaded(self._of(study))
        numbers = {tag: curve[0] for tag, curve in _scalars(run).items()}
        return numbers, _text(run, "study") + _text(run, "study file")

    def test_a_record_that_was_torn(self, of: Study) -> None:
        """What a killed process left half written hides nothing that is written afterwards."""
        self.write(of, News(of, [trial()], measured()[:2]))
        torn = next((self._of(of) / "trial-0001" / "fold-0").iterdir())
        torn.write_bytes(torn.read_bytes()[:-7])
        self.write(of, News(of, [complete()], measured()[1:]))
        assert same(self.shown(of, 1).series, CURVES)

    def test_parameters_show_in_the_table(self, of: Study) -> None:
        """A trial's run ends with its state for the HParams page."""
        self.write(of, News(of, [complete()], measured()))
        run = _loaded(self._of(of) / "trial-0001")
        end = run.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
        assert metadata.parse_session_end_info_plugin_data(end).status == 1  # STATUS_SUCCESS


def _loaded(folder: Path) -> EventAccumulator:
    run = EventAccumulator(str(folder))
    run.Reload()
    return run


def _scalars(run: EventAccumulator) -> Mapping[str, Mapping[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for tag in run.Tags()["scalars"]:
        points = [(event.step, event.value) for event in run.Scalars(tag)]
        assert len(points) == len({step for step, _ in points}), (tag, points)
        found[tag] = dict(points)
    return found


def _text(run: EventAccumulator, tag: str) -> str:
    if tag not in run.Tags()["tensors"]:
        return ""
    return str(run.Tensors(tag)[-1].tensor_proto.string_val[0].decode())
