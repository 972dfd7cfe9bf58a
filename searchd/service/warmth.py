"""What earlier studies hand on to a new one: their best configurations, and how others did, if they fit its space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from searchd.domain.errors import StudyNotFound, Violation
from searchd.domain.search import Precedent
from searchd.domain.space import Parameters, ParameterValue, SearchSpace, same_configuration
from searchd.domain.study import Study, StudyName, StudySpec, study_id, study_name
from searchd.domain.trial import Trial
from searchd.ports.store import Store

LOOKED_AT = 200
"""Trials of an earlier study that are looked at, the best."""

PRECEDENTS = 60
"""Most that a study keeps of an earlier one: half of them its best, the others spread over the rest."""

ENOUGH = 5
"""Fewest from which anything could be learnt."""


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a study starts with.

    Attributes:
        best: The best configuration of each earlier study, complete and inside the new space; without repeats.
        precedents: Trials of each earlier study that has enough of them, best first.
        remarks: What was taken over from each, and what was not.
    """

    best: tuple[Parameters, ...]
    precedents: tuple[tuple[Precedent, ...], ...]
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
    precedents: list[tuple[Precedent, ...]] = []
    remarks: list[str] = []
    for name in spec.warm_start:
        study = store.study(named(project, name))
        start = f"warm start from {study_id(study.name)}:"
        if (study.spec.objective.metric, study.spec.objective.goal) != (spec.objective.metric, spec.objective.goal):
            other = f"{study.spec.objective.goal} {study.spec.objective.metric}"
            remarks.append(f"{start} nothing, because it is to {other}")
            continue
        ranked = store.ranked(study.name, LOOKED_AT)
        found = _best(study, ranked, spec, default or {})
        if found is None:
            remarks.append(f"{start} nothing, because none of its configurations fits")
            continue
        trial, parameters = found
        known = _precedents(study, ranked, spec, default or {})
        if len(known) >= ENOUGH:
            precedents.append(known)
        learnt = f" and how {len(known)} did" if len(known) >= ENOUGH else ""
        remarks.append(f"{start} its trial {trial.number}{learnt}{_differences(study, spec)}")
        if not any(same_configuration(parameters, other) for other in best):
            best.append(parameters)
    return Warmth(tuple(best), tuple(precedents), tuple(remarks))


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


def _precedents(study: Study, ranked: Sequence[Trial], spec: StudySpec, default: Parameters) -> tuple[Precedent, ...]:
    """Trials that lie in the new space, compared at the highest rung that at least half of them have completed."""
    domains = {parameter.name: parameter.domain for parameter in spec.space.parameters}
    inside: list[tuple[Parameters, Trial]] = []
    for trial in ranked:
        known = {**study.spec.fixed, **trial.parameters}
        if trial.scores and all(domains[name].contains(value) for name, value in known.items() if name in domains):
            inside.append((_completed(spec.space, known, default), trial))
    rungs = sorted((len(trial.scores) for _, trial in inside), reverse=True)
    rung = rungs[(len(rungs) - 1) // 2] if rungs else 0
    signed = spec.objective.goal.signed
    scored = [(signed(trial.scores[rung - 1]), parameters) for parameters, trial in inside if len(trial.scores) >= rung]
    scored.sort(key=lambda item: -item[0])
    best, rest = scored[: PRECEDENTS // 2], scored[PRECEDENTS // 2 :]
    spread = rest[:: -(-len(rest) // (PRECEDENTS // 2)) or 1]
    return tuple(Precedent(parameters, score) for score, parameters in (*best, *spread))


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
