"""How a study is doing, as text: the header, the rungs and the ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from textwrap import wrap

from searchd.client.grid import Column, grid
from searchd.client.numbers import clock, decimals_for, fixed, number, one_line, parameter, percent, span
from searchd.client.troubles import Troubles
from searchd.client.views import Entry, Study, Trial
from searchd.client.watch import Event
from searchd.domain.study import Progress
from searchd.domain.trial import TrialState

PARTIAL = "partial"

NEWEST = 3
"""Remarks of the searcher that a picture shows."""

EVERYTHING = 10_000
"""Characters of a line that is not to be wrapped."""


@dataclass(slots=True)
class Picture:
    """What a viewer knows of a study, put together from its events.

    Attributes:
        study: As it stood last, with the newest counts.
        troubles: What went wrong with trials that failed or are infeasible.
        entries: The ranking, as it was last read.
    """

    study: Study
    troubles: Troubles = field(default_factory=Troubles)
    entries: Sequence[Entry] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take in one event."""
        match event.value:
            case Study() as study:
                self.study = study
            case Progress() as progress:
                self.study = replace(self.study, progress=progress)
            case Trial() as trial:
                self.troubles.add(trial)

    def lines(self, now: datetime, width: int) -> list[str]:
        """The whole picture at a time, in lines of at most ``width`` characters."""
        lines = header(self.study, now, self.troubles, width)
        lines += [_cut(line, width) for line in search_lines(self.study, EVERYTHING)[-NEWEST:]]
        if self.entries:
            lines += ["", *ranking(self.study, self.entries, width)]
        return lines


def header(study: Study, now: datetime, troubles: Troubles, width: int) -> list[str]:
    """State and counts, the front of several objectives, best and default, rungs, the reason: at most five lines."""
    progress = study.progress
    started = sum(progress.trials.values()) - progress.follow_ups
    elapsed = (study.ended_at or now) - (study.started_at or study.created_at)
    slots = f"{progress.busy}/{study.slots} slots busy" if study.slots else f"{progress.busy} busy"
    first = [f"{study.id} {study.state.name} {clock(elapsed)}", f"{started}/{study.max_trials} trials"]
    if not study.state.ended:
        first.append(slots)
        first += _eta(study, elapsed, now)
    if progress.follow_ups:
        first.append(f"{progress.follow_ups} follow-up{'s' if progress.follow_ups > 1 else ''}")
    if study.resources.gpus:
        first.append(f"{number(progress.train_seconds * study.resources.gpus / 3600, 3)} GPU-h")
    second = _best(study)
    if troubles.broken:
        second.append(f"limits broken {len(troubles.broken)}")
    if progress.trials.get(TrialState.COMPLETED.value) and progress.full_epochs and study.state.ended:
        second.append(f"epochs saved {percent(progress.full_epochs - progress.epochs, progress.full_epochs)}")
    second += troubles.summary(progress.trials)
    reached = zip(study.rungs, progress.rungs, strict=False)
    rungs = "  ".join(f"{rung.folds}x{rung.epochs}:{count}" for rung, count in reached)
    rungs = f"rungs {rungs}" if len(progress.rungs) > 1 else ""
    lines = ["   ".join(first), _front(study), "   ".join(second), rungs, one_line(study.reason)]
    return [_cut(line, width) for line in lines if line]


def search_lines(study: Study, width: int) -> list[str]:
    """What the searcher chose and why, oldest first, each remark in as many lines as it takes."""
    lines: list[str] = []
    for remark in study.progress.search_log:
        lines += wrap(one_line(remark), width, initial_indent="search: ", subsequent_indent="        ")
    return lines


def tracked_lines(study: Study, width: int) -> list[str]:
    """Where else the study appears, and what keeps it from there."""
    lines: list[str] = []
    for tracked in study.tracked:
        problem = f": {one_line(tracked.problem)}" if tracked.problem else ""
        text = f"{tracked.sink} in {tracked.place}{problem}"
        lines += wrap(text, width, initial_indent="tracked: ", subsequent_indent="         ", break_on_hyphens=False)
    return lines


def _best(study: Study) -> list[str]:
    progress, parts = study.progress, []
    if progress.best is not None and len(study.objectives) == 1:
        parts.append(f"best {number(progress.best.score)} (#{progress.best.trial})")
    if progress.default_score is not None:
        of = f"{_cut(study.metric, 16)} " if len(study.objectives) > 1 else ""
        parts.append(f"default {of}{number(progress.default_score)}")
    return parts


def _front(study: Study) -> str:
    """How large the front is, and the best value of each objective on it; empty without one."""
    front = study.progress.front
    parts = [f"front {len(front)}"] if front else []
    for place, objective in enumerate(study.objectives if front else ()):
        values = [objective.goal.signed(point.values[place]) for point in front]
        best = front[values.index(max(values))]
        parts.append(f"{_cut(objective.metric, 16)} {number(best.values[place])} (#{best.trial})")
    return "   ".join(parts)


def _eta(study: Study, elapsed: timedelta, now: datetime) -> list[str]:
    """Time left at the pace so far, by the trials that have got past the first rung, but no more than the budget has;
    none before the first has."""
    through = max(
        study.progress.rungs[0] if study.progress.rungs else 0,
        sum(count for state, count in study.progress.trials.items() if TrialState(state).ended),
    )
    if not 0 < through < study.max_trials:
        return []
    left = elapsed * ((study.max_trials - through) / through)
    budget = study.message.budget
    if budget.HasField("wall_time"):
        left = min(left, max(study.created_at + budget.wall_time.ToTimedelta() - now, timedelta(0)))
    return [f"ETA {span(left)}"]


def ranking(study: Study, entries: Sequence[Entry], width: int) -> list[str]:
    """The leaderboard: trials at the top rung, then the partial ones under a line of their own."""
    decimals = decimals_for([e.mean for e in entries])
    unit = "min" if any(e.trial.train_seconds >= 120 for e in entries) else "s"
    names = _parameter_names(study, entries)
    beside = {
        objective.metric: decimals_for([_values(study, e)[objective.metric] for e in entries])
        for objective in study.objectives
        if objective.metric != study.metric and all(objective.metric in _values(study, e) for e in entries)
    }
    columns = [
        Column("#", right=True),
        Column("trial", right=True),
        Column(_cut(study.metric, 16)),
        Column("vs #1"),
        *(Column(_cut(name, 16), right=True, optional=True) for name in beside),
        *([Column("limits")] if study.limits else []),
        Column("folds", right=True),
        Column("epoch", right=True),
        Column(f"GPU-{unit}" if study.resources.gpus else unit, right=True),
        *(Column(name, right=_numeric(entries, name), optional=True) for name in names),
    ]
    rows: list[Sequence[str] | str] = []
    for entry in entries:
        if not entry.rank and PARTIAL not in rows:
            rows.append(PARTIAL)
        rows.append(_entry_cells(study, entry, decimals, unit, names, beside))
    return grid(columns, rows, width)


def _values(study: Study, entry: Entry) -> dict[str, float]:
    """Means of the metrics that are kept with a trial, at its highest completed rung."""
    others = zip(study.other_metrics, entry.trial.other_values, strict=False)
    return {study.metric: entry.mean, **dict(others)}


def _limits(study: Study, entry: Entry) -> str:
    """Which limits are broken, with the values that break them."""
    values = _values(study, entry)
    known = [limit for limit in study.limits if limit.metric in values]
    broken = [limit.metric for limit in known if limit.excess(values[limit.metric]) > 0]
    return _cut(", ".join(f"{name} {number(values[name])}" for name in broken), 20) or "kept"


def _entry_cells(
    study: Study, entry: Entry, decimals: int, unit: str, names: Sequence[str], beside: Mapping[str, int]
) -> list[str]:
    mean = fixed(entry.mean, decimals)
    if entry.standard_error is not None:
        mean += f" ±{fixed(entry.standard_error, decimals)}"
    versus = "-"
    if entry.versus_first is not None:
        versus = fixed(entry.versus_first.mean, decimals) + (" tied" if entry.tied else "")
    cost = entry.trial.train_seconds * (study.resources.gpus or 1) / (60 if unit == "min" else 1)
    return [
        str(entry.rank or "-"),
        str(entry.trial.number),
        mean,
        versus,
        *(fixed(_values(study, entry)[name], places) for name, places in beside.items()),
        *([_limits(study, entry)] if study.limits else []),
        f"{entry.rung.folds}/{study.folds}",
        str(entry.rung.epochs),
        f"{cost:.1f}",
        *(parameter(entry.trial.params[name]) if name in entry.trial.params else "-" for name in names),
    ]


def _parameter_names(study: Study, entries: Sequence[Entry]) -> list[str]:
    """In the space's order, those that differ between the trials first: there may not be room for all."""
    shown = dict.fromkeys(name for entry in entries for name in entry.trial.params)
    names = [n for n in study.parameters if n in shown] + [n for n in shown if n not in study.parameters]
    first = entries[0].trial.params
    varied = [n for n in names if any(n not in e.trial.params or e.trial.params[n] != first.get(n) for e in entries)]
    return varied + [name for name in names if name not in varied]


def _numeric(entries: Sequence[Entry], name: str) -> bool:
    return all(isinstance(e.trial.params[name], int | float) for e in entries if name in e.trial.params)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"
