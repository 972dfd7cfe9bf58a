"""The sink for Weights & Biases, read back from the files that ``wandb sync`` sends."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from searchd.domain.study import Study
from searchd.domain.trial import TrialNumber
from searchd.tracking.sink import History, News, Sink, Surroundings, key
from searchd.tracking.vendors import open_sink
from tests.contracts.makers import trial
from tests.contracts.sink import CURVES, Shown, SinkContract, complete, measured, same

BLOCK = 32768


class TestWandbSink(SinkContract):
    """The sink of Weights & Biases keeps the contract."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_MODE", raising=False)
        self._folder = tmp_path / "wandb"

    def opened(self, study: Study, history: History) -> Sink:
        links = {"artifacts": "/artifacts/of/1"}
        return open_sink("wandb", study, Surroundings(self._folder, history, lambda _: links))

    def _records(self, study: Study, number: int | None) -> list[Any]:
        run_id = key(study, None if number is None else TrialNumber(number))
        (file,) = self._folder.glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
        return list(_records(file))

    def shown(self, study: Study, number: int) -> Shown:
        records = self._records(study, number)
        (run,) = (r.run for r in records if r.WhichOneof("record_type") == "run")
        assert run.run_group == f"{study.name.rsplit('/', 1)[1]}-{study.created_at:%Y%m%d-%H%M%S}"
        said, summary = _updates(records, "config"), _updates(records, "summary")
        text = f"{said.pop('searchd')} {said.pop('labels')} {summary} {list(run.tags)}"
        series: dict[str, dict[int, float]] = {}
        for row in (_row(r.history.item) for r in records if r.WhichOneof("record_type") == "history"):
            for name in (n for n in row if n != "epoch" and not n.startswith("_")):
                curve = series.setdefault(name, {})
                assert row["epoch"] not in curve
                curve[row["epoch"]] = row[name]
        if "accuracy" in summary:  # a final mean is all that there is of rungs
            series["accuracy"] = {3: 0.3, 6: summary["accuracy"]}
        parameters = {n: v if isinstance(v, str) else json.dumps(v) for n, v in said.items() if not n.startswith("_")}
        return Shown(parameters, series, text)

    def shown_of_study(self, study: Study) -> tuple[Mapping[str, float], str]:
        records = self._records(study, None)
        return _updates(records, "summary"), str(_updates(records, "config"))

    def test_a_run_that_was_interrupted(self, of: Study) -> None:
        """What is left of a run whose writing was interrupted is replaced by the whole run."""
        self.write(of, News(of, [complete()]))
        (file,) = self._folder.glob("*/*.wandb")
        file.write_bytes(file.read_bytes()[:200])
        self.write(of, News(of, [complete()]))
        assert same(self.shown(of, 1).series, CURVES)

    def test_trials_appear_when_they_have_ended(self, of: Study) -> None:
        """Of a trial that still trains nothing is written."""
        self.write(of, News(of, [trial()], measured()))
        assert not list(self._folder.glob("*/*.wandb"))


def _records(file: Path) -> Iterator[Any]:
    """Records of a log in the form of LevelDB's, which begins with 7 bytes of Weights & Biases' own."""
    raw, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(raw):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", raw, at)
        whole += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last part
            record: Any = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # made when it is loaded
            record.ParseFromString(whole)
            yield record
            whole = b""


def _row(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def _updates(records: list[Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in records:
        if record.WhichOneof("record_type") == kind:
            found |= _row(getattr(record, kind).update)
    return found
