"""Events as lines of text, for logs and pipes."""

from collections.abc import Iterable, Iterator

from searchd.client.numbers import number, one_line, parameter
from searchd.client.troubles import failure_words
from searchd.client.views import Study, Trial
from searchd.client.watch import Deleted, Event
from searchd.domain.measurement import Measurement
from searchd.domain.trial import TrialState


def event_line(event: Event) -> str | None:
    """One line: when, what and how it changed; None for counts, which the other events imply."""
    match event.value:
        case Study() as study:
            text = f"study {study.state.name}" + (f": {one_line(study.reason)}" if study.reason else "")
        case Trial() as trial:
            text = _trial(trial)
        case Measurement() as m:
            metrics = " ".join(f"{name}={number(value)}" for name, value in m.metrics.items())
            repeat = f" repeat {m.repeat}" if m.repeat else ""
            text = f"trial {m.trial}{repeat} fold {m.fold} epoch {m.epoch} {metrics}"
        case Deleted():
            text = "study deleted"
        case _:
            return None
    return f"{event.at.astimezone():%H:%M:%S} {text}"


def event_lines(events: Iterable[Event]) -> Iterator[str]:
    """The lines of events, as they come. Trials change with every segment: a line that says what the trial's last one
    said is left out."""
    said: dict[int, str] = {}
    for event in events:
        line = event_line(event)
        if line is None:
            continue
        if isinstance(event.value, Trial):
            text = line.partition(" ")[2]
            if said.get(event.value.number) == text:
                continue
            said[event.value.number] = text
        yield line


def _trial(trial: Trial) -> str:
    text = f"trial {trial.number} {trial.state.name}"
    if trial.failure is not None:
        text += f" ({failure_words(trial.failure)})"
    if trial.state is TrialState.PENDING:
        return " ".join([text, *(f"{name}={parameter(value)}" for name, value in trial.params.items())])
    if trial.rung_scores:
        text += f" rung {len(trial.rung_scores)} score {number(trial.rung_scores[-1])}"
    return f"{text}: {one_line(trial.reason)}" if trial.reason else text
