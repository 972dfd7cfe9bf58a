"""From a draft to a definition: fill in what the trainable and the data decide, and find everything that is wrong."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from searchd.domain.card import Card
from searchd.domain.checks import draft_violations
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.fidelity import is_ladder
from searchd.domain.space import Parameter, SearchSpace
from searchd.domain.study import (
    Algorithm,
    Objective,
    Scheduler,
    SchedulerAlgorithm,
    SchedulerMode,
    Split,
    StudySpec,
)
from searchd.ports.catalog import Inspection
from searchd.ports.engine import Node


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a definition is checked against: the trainables, the inspected dataset (None without one), the cluster."""

    cards: Mapping[str, Card]
    inspection: Inspection | None
    nodes: Sequence[Node]


def define(draft: StudyDraft, found: Sequence[Violation], around: Surroundings) -> StudySpec:
    """The complete definition.

    Args:
        draft: What the caller wrote.
        found: Violations found before, while decoding; reported together with those found here.
        around: What to check against.

    Raises:
        InvalidStudy: with every violation there is.
    """
    violations = [*found, *draft_violations(draft)]
    card = around.cards.get(draft.trainable)
    if card is None:
        violations.append(_unknown_trainable(draft.trainable, around.cards))
    else:
        violations += _against_card(draft, card)
    if around.inspection is not None:
        violations += around.inspection.violations
    violations += _against_cluster(draft, around.nodes)
    if card is None or violations:
        raise InvalidStudy(_distinct(violations))
    spec = _completed(draft, card, around.inspection)
    violations += _against_ladder(spec, card)
    if violations:
        raise InvalidStudy(_distinct(violations))
    return spec


def _completed(draft: StudyDraft, card: Card, inspection: Inspection | None) -> StudySpec:
    evaluation = replace(draft.evaluation, split=chosen_split(draft, inspection))
    objective = draft.objectives[0] if draft.objectives else Objective(*next(iter(card.metrics.items())))
    space = draft.space if draft.space.parameters else card.space
    space = SearchSpace(tuple(p for p in space.parameters if p.name not in draft.fixed))
    return StudySpec(
        trainable=draft.trainable,
        objective=objective,
        space=_without_fixed(space, draft),
        dataset=draft.dataset,
        fixed=draft.fixed,
        seed=draft.seed,
        search=draft.search,
        scheduler=_scheduler(draft, card),
        evaluation=evaluation,
        resources=draft.resources,
        budget=draft.budget,
        retry=draft.retry,
        priority=draft.priority,
        labels=draft.labels,
    )


def _without_fixed(space: SearchSpace, draft: StudyDraft) -> SearchSpace:
    """Drop conditions on fixed parameters: those that hold need no asking, and what cannot hold is no parameter."""
    kept: list[Parameter] = []
    gone: set[str] = set()
    for parameter in space.parameters:
        on_fixed = [c for c in parameter.when if c.parameter in draft.fixed]
        if any(draft.fixed[c.parameter] not in c.values for c in on_fixed) or any(
            c.parameter in gone for c in parameter.when
        ):
            gone.add(parameter.name)
            continue
        kept.append(replace(parameter, when=tuple(c for c in parameter.when if c not in on_fixed)))
    return SearchSpace(tuple(kept))


def _scheduler(draft: StudyDraft, card: Card) -> Scheduler:
    top = draft.evaluation.top
    climbs = top.folds > 1 or top.epochs > 1
    scheduler = draft.scheduler
    if scheduler is None:
        scheduler = Scheduler(SchedulerAlgorithm.ASHA if climbs else SchedulerAlgorithm.NONE)
    if not climbs:
        scheduler = replace(scheduler, algorithm=SchedulerAlgorithm.NONE)
    mode = draft.mode
    if mode is None:
        mode = SchedulerMode.PROMOTION if card.checkpoints or top.epochs == 1 else SchedulerMode.STOPPING
    return replace(scheduler, mode=mode)


def chosen_split(draft: StudyDraft, inspection: Inspection | None) -> Split:
    """The split as written, or what suits the data: group with group labels, stratified for classes, else k-fold."""
    if draft.split is not None:
        return draft.split
    if draft.dataset is not None and draft.dataset.groups is not None:
        return Split.GROUP
    return Split.STRATIFIED if inspection is not None and inspection.classification else Split.KFOLD


def _against_card(draft: StudyDraft, card: Card) -> Iterator[Violation]:
    known = card.space.names()
    taken = {*known, *(card.default or {})}
    declares = bool(card.space.parameters) or card.default is not None
    for section, names in (("search_space", draft.space.names()), ("fixed", tuple(draft.fixed))):
        for name in names:
            if declares and name not in taken:
                yield Violation(
                    f"{section}.{name}",
                    f"{card.name} has no parameter {name!r}",
                    _nearest(name, sorted(taken), "remove it"),
                )
    for name in draft.fixed:
        if name in draft.space.names():
            yield Violation(f"fixed.{name}", "is also in search_space", "keep one of the two")
    if not draft.objectives and not card.metrics:
        yield Violation("objectives", f"{card.name} declares no metrics", "name the metric and its goal")
    for i, objective in enumerate(draft.objectives):
        if card.metrics and objective.metric not in card.metrics:
            yield Violation(
                f"objectives[{i}].metric",
                f"{card.name} does not report {objective.metric!r}",
                _nearest(objective.metric, sorted(card.metrics), "choose one that it reports"),
            )
    if not draft.space.parameters and not card.space.parameters and not draft.search.default_first:
        yield Violation("search_space", f"{card.name} declares no default space", "write one")
    if draft.evaluation.folds and not card.folds:
        yield Violation(
            "evaluation.folds",
            f"{card.name} trains on one hold-out split of its own",
            "remove folds, or register it with folds=True and read searchd.trainable.current()",
        )
    space = draft.space if draft.space.parameters else card.space
    gridded = [p.name for p in space.parameters if getattr(p.domain, "grid", False)]
    if gridded and draft.search.algorithm is Algorithm.TPE:
        yield Violation(
            f"search_space.{gridded[0]}.grid",
            "grid values belong to grid search",
            "use choice, or search.algorithm: grid (or random)",
        )
    if draft.search.algorithm is Algorithm.GRID:
        for parameter in space.parameters:
            if parameter.domain.kind == "float" and parameter.name not in draft.fixed:
                yield Violation(
                    f"search_space.{parameter.name}",
                    "a grid cannot enumerate a continuous parameter",
                    "list its values with grid, or use another search.algorithm",
                )


def _against_cluster(draft: StudyDraft, nodes: Sequence[Node]) -> Iterator[Violation]:
    if not nodes:
        return
    cpus, gpus = max(n.cpus for n in nodes), max(n.gpus for n in nodes)
    if draft.resources.gpus > gpus:
        remedy = f"ask for at most {gpus:g}" if gpus else "remove gpus, or add a node with GPUs"
        yield Violation("resources.gpus", f"no node of the cluster has {draft.resources.gpus:g} GPUs", remedy)
    if draft.resources.cpus > cpus:
        message = f"no node of the cluster has {draft.resources.cpus:g} CPUs"
        yield Violation("resources.cpus", message, f"ask for at most {cpus:g}")


def _against_ladder(spec: StudySpec, card: Card) -> Iterator[Violation]:
    given = spec.evaluation.ladder
    if given and (not is_ladder(given) or given[-1] != spec.evaluation.top):
        top = spec.evaluation.top
        yield Violation(
            "evaluation.ladder",
            "is not a ladder to the full evaluation",
            f"let folds and epochs never shrink from rung to rung and end with [{top.folds}, {top.epochs}]",
        )
    elif not card.checkpoints and _pauses(spec):
        yield Violation(
            "scheduler.mode",
            f"{card.name} keeps no checkpoints, so a paused trial would be lost",
            "use mode: stopping, a ladder that climbs by folds only, or ctx.keep in the trainable",
        )


def _pauses(spec: StudySpec) -> bool:
    """Whether some fold run must wait in mid-training for a decision."""
    epochs = spec.evaluation.epochs
    partial = [rung for rung in spec.ladder if rung.epochs < epochs]
    stopping = spec.scheduler.mode is SchedulerMode.STOPPING
    return any(not (stopping and rung.folds == 1) for rung in partial)


def _unknown_trainable(name: str, cards: Mapping[str, Card]) -> Violation:
    if not name:
        return Violation("trainable", "is not set", f"name one of {', '.join(sorted(cards)) or 'none'}")
    remedy = _nearest(name, sorted(cards), "`searchd trainables` lists them; `searchd up --trainables` adds modules")
    return Violation("trainable", f"no trainable {name!r} is registered", remedy)


def _nearest(name: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}" if known else otherwise


def _distinct(violations: Sequence[Violation]) -> list[Violation]:
    """In the order found; of several with one path and message, the first."""
    return list({(v.path, v.message): v for v in reversed(violations)}.values())[::-1]
