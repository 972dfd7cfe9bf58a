"""From a draft to a definition: fill in what the trainable and the data decide, and find everything that is wrong."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from searchd.domain.card import Card
from searchd.domain.checks import algorithm_violations, draft_violations, merged
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.evaluation import Split
from searchd.domain.fidelity import derived_ladder
from searchd.domain.objective import Objective
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.space import Parameter, SearchSpace
from searchd.domain.study import Budget, StudySpec
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
    card = around.cards.get(draft.trainable)
    unknown = () if card is not None else (_unknown_trainable(draft.trainable, around.cards),)
    data = () if around.inspection is None else around.inspection.violations
    fitting = () if card is None else _against_card(draft, card)
    violations = merged(found, unknown, draft_violations(draft), fitting, data, _against_cluster(draft, around.nodes))
    if card is None or violations:
        raise InvalidStudy(violations)
    return _completed(draft, card, around.inspection)


def _completed(draft: StudyDraft, card: Card, inspection: Inspection | None) -> StudySpec:
    evaluation = replace(draft.evaluation, split=chosen_split(draft, inspection))
    objectives = draft.objectives or (Objective(*next(iter(card.metrics.items()))),)
    space = draft.space if draft.space.parameters else card.space
    space = SearchSpace(tuple(p for p in space.parameters if p.name not in draft.fixed))
    return StudySpec(
        trainable=draft.trainable,
        objectives=objectives,
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
        limits=draft.limits,
        warm_start=draft.warm_start,
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


def _climbs(draft: StudyDraft) -> bool:
    """Whether there are rungs that somebody must decide at."""
    top = draft.evaluation.top
    without = draft.scheduler is not None and draft.scheduler.algorithm is SchedulerAlgorithm.NONE
    return (top.folds > 1 or top.epochs > 1) and not without


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
    if not draft.objectives and not card.metrics:
        yield Violation("objectives", f"{card.name} declares no metrics", "name the metric and its goal")
    named = [(f"objectives[{i}].metric", objective.metric) for i, objective in enumerate(draft.objectives)]
    named += [(f"constraints[{i}].metric", limit.metric) for i, limit in enumerate(draft.limits)]
    for path, metric in named:
        if card.metrics and metric and metric not in card.metrics:
            remedy = _nearest(metric, sorted(card.metrics), "choose one that it reports")
            yield Violation(path, f"{card.name} does not report {metric!r}", remedy)
    if len(draft.objectives) > 1 and _climbs(draft) and (draft.scheduler is None or draft.scheduler.metric is None):
        known_objectives = ", ".join(objective.metric for objective in draft.objectives)
        message = "several objectives do not say which trials climb"
        remedy = f"name one of {known_objectives}, or set scheduler.algorithm to none"
        yield Violation("scheduler.metric", message, remedy)
    has_default = draft.search.default_first and card.default is not None
    if not draft.space.parameters and not card.space.parameters and not has_default:
        yield Violation("search_space", f"{card.name} declares no default space", "write one")
    if draft.evaluation.folds and not card.folds:
        yield Violation(
            "evaluation.folds",
            f"{card.name} trains on one hold-out split of its own",
            "remove folds, or register it with folds=True and read searchd.trainable.current()",
        )
    if not draft.space.parameters:
        free = tuple(p for p in card.space.parameters if p.name not in draft.fixed)
        yield from algorithm_violations(SearchSpace(free), draft.search.algorithm)
    if not card.checkpoints and _pauses(_scheduler(draft, card), draft):
        yield Violation(
            "scheduler.mode",
            f"{card.name} keeps no checkpoints, so a paused trial would be lost",
            "use mode: stopping, a ladder that climbs by folds only, or ctx.keep in the trainable",
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


def _pauses(scheduler: Scheduler, draft: StudyDraft) -> bool:
    """Whether some fold run must wait in mid-training for a decision. Asked of drafts with mistakes, too."""
    if scheduler.algorithm is SchedulerAlgorithm.NONE:
        return False
    evaluation = draft.evaluation
    trials = draft.budget.trials if draft.budget.trials > 0 else Budget().trials
    ladder = evaluation.ladder or derived_ladder(
        max(evaluation.fold_runs, 1),
        max(evaluation.epochs, 1),
        max(scheduler.eta, 2),
        max(scheduler.min_epochs, 1),
        trials,
    )
    partial = [rung for rung in ladder if rung.epochs < evaluation.epochs]
    return any(scheduler.mode is SchedulerMode.PROMOTION or rung.folds > 1 for rung in partial)


def _unknown_trainable(name: str, cards: Mapping[str, Card]) -> Violation:
    if not name:
        return Violation("trainable", "is not set", f"name one of {', '.join(sorted(cards)) or 'none'}")
    remedy = _nearest(name, sorted(cards), "`searchd trainables` lists them; `searchd up --trainables` adds modules")
    return Violation("trainable", f"no trainable {name!r} is registered", remedy)


def _nearest(name: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}" if known else otherwise
