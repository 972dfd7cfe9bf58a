"""What earlier studies hand on to a new one: their best configurations, as far as they fit its space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from searchd.domain.errors import StudyNotFound, Violation
from searchd.domain.space import Parameters, ParameterValue, SearchSpace, same_value
from searchd.domain.study import Study, StudyName, StudySpec, study_id, study_name
from searchd.domain.trial import Trial
from searchd.ports.store import Store

LOOKED_AT = 200
"""Trials of an earlier study that are looked at, the best, for one whose configuration fits."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a study starts with.

    Attributes:
        best: The best configuration of each earlier study, complete and inside the new space; without repeats.
        remarks: What was taken over from each, and what was not.
    """

    best: tuple[Parameters, ...]
    remarks: tuple[str, ...]


def named(project: str, study: str) -> StudyName:
    """A study by its full name, or by its id in a project."""
    return StudyName(study) if "/" in study else study_name(project, study)


def unknown_studies(store: Store, project: str, names: Sequence[str]) -> Iterator[Violation]:
    """Earlier studies that do not exist."""
    for index, name in enumerate(names):
        try:
            store.study(named(project, name))
        except StudyNotFound:
            remedy = "name a study that `searchd ls` lists, or leave it out"
            yield Violation(f"warm_start[{index}]", f"there is no study {name!r}", remedy)


def warmth(store: Store, project: str, spec: StudySpec, default: Parameters | None) -> Warmth:
    """What the studies that ``spec.warm_start`` names hand on; ``default`` fills what they leave open.

    Raises:
        StudyNotFound: one of them has been deleted meanwhile.
    """
    best: list[Parameters] = []
    remarks: list[str] = []
    for name in spec.warm_start:
        study = store.study(named(project, name))
        start = f"warm start from {study_id(study.name)}:"
        if (study.spec.objective.metric, study.spec.objective.goal) != (spec.objective.metric, spec.objective.goal):
            other = f"{study.spec.objective.goal} {study.spec.objective.metric}"
            remarks.append(f"{start} nothing, because it is to {other}")
            continue
        found = _best(study, store.ranked(study.name, LOOKED_AT), spec, default or {})
        if found is None:
            remarks.append(f"{start} nothing, because none of its configurations fits")
            continue
        trial, parameters = found
        remarks.append(f"{start} its trial {trial.number}{_differences(study, spec)}")
        if not any(_same(parameters, known) for known in best):
            best.append(parameters)
    return Warmth(tuple(best), tuple(remarks))


def _best(
    study: Study, ranked: Sequence[Trial], spec: StudySpec, default: Parameters
) -> tuple[Trial, Parameters] | None:
    """The best trial of which anything fits the new space and its constraints, and the configuration that it makes."""
    domains = {parameter.name: parameter.domain for parameter in spec.space.parameters}
    for trial in ranked:
        known = {**study.spec.fixed, **trial.parameters}
        fitting = {name: value for name, value in known.items() if name in domains and domains[name].contains(value)}
        parameters = _completed(spec.space, fitting, default)
        if fitting and trial.feasible and spec.space.allows(parameters):
            return trial, parameters
    return None


def _differences(study: Study, spec: StudySpec) -> str:
    text = ""
    theirs = {*study.spec.space.names(), *study.spec.fixed}
    missing = [name for name in spec.space.names() if name not in theirs]
    unused = [name for name in study.spec.space.names() if name not in {*spec.space.names(), *spec.fixed}]
    if missing:
        text += f"; it knows nothing of {', '.join(missing)}"
    if unused:
        text += f"; not used here: {', '.join(unused)}"
    return text


def _completed(space: SearchSpace, parameters: Parameters, default: Parameters) -> Parameters:
    """A configuration of the space: the given values, else the default's, else the middle of the range."""
    chosen: dict[str, ParameterValue] = {}
    for parameter in space.active(chosen):
        for known in (parameters, default):
            if parameter.name in known and parameter.domain.contains(known[parameter.name]):
                chosen[parameter.name] = known[parameter.name]
                break
        else:
            chosen[parameter.name] = parameter.domain.at(0.5)
    return chosen


def _same(a: Parameters, b: Parameters) -> bool:
    return a.keys() == b.keys() and all(same_value(a[name], b[name]) for name in a)
