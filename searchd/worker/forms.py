"""The forms of trainables, all run the same way: step by step."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, assert_never

from searchd.domain.card import Form
from searchd.ports.engine import Segment
from searchd.trainable import Context, Registration
from searchd.worker.checkpoint import Checkpoint
from searchd.worker.host import FoldRunHost
from searchd.worker.metrics import MissingMetric


class Running(Protocol):
    """A trainable that has been started and is advanced epoch by epoch."""

    @property
    def resumed(self) -> int:
        """Epochs that a checkpoint brought; certain only after the first step."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether its state can be saved now."""
        ...

    def step(self) -> Mapping[str, Any] | None:
        """Train one epoch; its metrics, or None when the trainable has returned."""
        ...

    def state(self) -> Any:
        """What a checkpoint needs; asked only while ``keeps``."""
        ...

    def close(self) -> None:
        """Let go of everything; called once, also after an error."""
        ...


class GeneratorRun:
    """A generator function."""

    def __init__(self, registration: Registration, context: Context, host: FoldRunHost) -> None:
        self._generator: Iterator[Mapping[str, Any]] = registration.target(context)
        self._host = host

    @property
    def resumed(self) -> int:
        """See Running."""
        return self._host.resumed

    @property
    def keeps(self) -> bool:
        """See Running."""
        return self._host.keeps

    def step(self) -> Mapping[str, Any] | None:
        """See Running."""
        try:
            metrics = next(self._generator)
        except StopIteration:
            return None
        if metrics is None:
            raise MissingMetric("a bare yield reports nothing; yield a dict of metrics")
        return metrics

    def state(self) -> Any:
        """See Running."""
        return self._host.kept()

    def close(self) -> None:
        """See Running."""
        self._generator.close()  # type: ignore[attr-defined]


def start(
    registration: Registration, context: Context, host: FoldRunHost, checkpoint: Checkpoint | None, segment: Segment
) -> Running:
    """Start a trainable of any form for the fold run of ``segment``, from the checkpoint if there is one."""
    match registration.form:
        case Form.GENERATOR:
            return GeneratorRun(registration, context, host)
        case Form.TUNE_CLASS | Form.TUNE_FUNCTION:
            from searchd.worker.tune import TuneRun  # noqa: PLC0415  # loads Ray

            return TuneRun(registration, context, checkpoint, segment)
        case _:
            assert_never(registration.form)
