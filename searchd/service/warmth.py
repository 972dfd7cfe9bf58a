"""What earlier studies teach a new one: their trials, as far as they fit its space, and their best configurations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from searchd.domain.errors import StudyNotFound, Violation
from searchd.domain.search import Prior
from searchd.domain.space import Parameters, ParameterValue, SearchSpace, same_value
from searchd.domain.study import Study, StudyName, StudySpec, study_id, study_name
from searchd.domain.trial import Trial
from searchd.ports.store import Store

PRIORS = 200
"""Trials that are taken over from each earlier study, the best."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a study starts with.

    Attributes:
        priors: Trials of earlier studies, each study's best first.
        best: The best configuration of each, complete and inside the new space; without repeats.
        remarks: What was taken over from each, and what was not.
    """

    priors: tuple[Prior, ...]
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
    """What the studies that ``spec.warm_start`` names teach; ``default`` fills what they leave open.

    Raises:
        StudyNotFound: one of them has been deleted meanwhile.
    """
    priors: list[Prior] = []
    best: list[Parameters] = []
    remarks: list[str] = []
    for name in spec.warm_start:
        study = store.study(named(project, name))
        if study.spec.objective.metric != spec.objective.metric or study.spec.objective.goal != spec.objective.goal:
            other = f"{study.spec.objective.goal} {study.spec.objective.metric}"
            remarks.append(f"warm start from {study_id(study.name)}: nothing, because it is to {other}")
            continue
        ranked = store.ranked(study.name, PRIORS)
        taken = _priors(study, [trial for trial in ranked if trial.rung == ranked[0].rung], spec)
        priors.extend(taken)
        remarks.append(_remark(study, len(taken), spec))
        completed = (_completed(spec.space, prior.parameters, default or {}) for prior in taken)
        allowed = next((parameters for parameters in completed if spec.space.allows(parameters)), None)
        if allowed is not None and not any(_same(allowed, known) for known in best):
            best.append(allowed)
    return Warmth(tuple(priors), tuple(best), tuple(remarks))


def _priors(study: Study, trials: Sequence[Trial], spec: StudySpec) -> list[Prior]:
    found: list[Prior] = []
    domains = {parameter.name: parameter.domain for parameter in spec.space.parameters}
    for trial in trials:
        known = {**study.spec.fixed, **trial.parameters}
        fitting = {name: value for name, value in known.items() if name in domains and domains[name].contains(value)}
        if fitting and trial.feasible and not trial.origin.repeats:
            score = spec.objective.goal.signed(trial.scores[-1])
            found.append(Prior(study.name, trial.number, fitting, score))
    return found


def _remark(study: Study, taken: int, spec: StudySpec) -> str:
    text = f"warm start from {study_id(study.name)}: {taken} trials"
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
