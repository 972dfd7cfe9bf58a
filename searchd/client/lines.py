"""Events as lines of text, for logs and pipes."""

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


def _trial(trial: Trial) -> str:
    text = f"trial {trial.number} {trial.state.name}"
    if trial.failure is not None:
        text += f" ({failure_words(trial.failure)})"
    if trial.state is TrialState.PENDING:
        return " ".join([text, *(f"{name}={parameter(value)}" for name, value in trial.params.items())])
    if trial.rung_scores:
        text += f" rung {len(trial.rung_scores)} score {number(trial.rung_scores[-1])}"
    return f"{text}: {one_line(trial.reason)}" if trial.reason else text
