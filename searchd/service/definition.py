"""From a draft to a definition: fill in what the trainable and the data decide, and find everything that is wrong."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from searchd.domain.card import Card
from searchd.domain.checks import algorithm_violations, constrained_violations, draft_violations, merged
from searchd.domain.constraints import with_fixed
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.evaluation import Racing, Split
from searchd.domain.fidelity import Ladder
from searchd.domain.objective import Objective
from searchd.domain.population import population_violations
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm
from searchd.domain.space import SearchSpace
from searchd.domain.study import Budget, StudySpec
from searchd.ports.catalog import Inspection
from searchd.ports.engine import Node

FOLDS_ETA = 4
"""Reduction factor of a study with folds that names no scheduler; why is in docs/adr/0011-racing.md."""

VendorCheck = Callable[[StudyDraft, SearchSpace], Iterable[Violation]]
"""What is wrong with the vendors' algorithms that a draft names, for the space that is to be searched."""


def any_vendor(draft: StudyDraft, space: SearchSpace) -> Iterable[Violation]:  # noqa: ARG001  # a VendorCheck
    """Finds nothing wrong, where nobody knows the vendors."""
    return ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a definition is checked against: the trainables, the inspected dataset (None without one), the cluster, and
    what is known of vendors."""

    cards: Mapping[str, Card]
    inspection: Inspection | None
    nodes: Sequence[Node]
    vendors: VendorCheck = any_vendor


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
    named = around.vendors(draft, draft.space if draft.space.parameters or card is None else card.space)
    cluster = _against_cluster(draft, around.nodes)
    violations = merged(found, unknown, draft_violations(draft), fitting, named, data, cluster)
    if card is None or violations:
        raise InvalidStudy(violations)
    return _completed(draft, card, around.inspection)


def _completed(draft: StudyDraft, card: Card, inspection: Inspection | None) -> StudySpec:
    scheduler = _scheduler(draft, card)
    evaluation = replace(
        draft.evaluation, split=chosen_split(draft, inspection), racing=_racing(draft, scheduler.algorithm)
    )
    objectives = draft.objectives or (Objective(*next(iter(card.metrics.items()))),)
    return StudySpec(
        trainable=draft.trainable,
        objectives=objectives,
        space=with_fixed(_space(draft, card), draft.fixed),
        dataset=draft.dataset,
        fixed=draft.fixed,
        seed=draft.seed,
        search=draft.search,
        scheduler=scheduler,
        evaluation=evaluation,
        resources=draft.resources,
        budget=draft.budget,
        retry=draft.retry,
        priority=draft.priority,
        labels=draft.labels,
        limits=draft.limits,
        warm_start=draft.warm_start,
        code_id=draft.code_id,
        parent=draft.parent,
        track=draft.track,
    )


def _space(draft: StudyDraft, card: Card) -> SearchSpace:
    """The parameters that the study gives, else those of the trainable, to which a study may add constraints."""
    if draft.space.parameters:
        return draft.space
    return replace(card.space, constraints=(*card.space.constraints, *draft.space.constraints))


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
        scheduler = Scheduler(eta=FOLDS_ETA) if top.folds > 1 else Scheduler()
    if not climbs:
        scheduler = replace(scheduler, algorithm=SchedulerAlgorithm.NONE, ray="")
    stops = scheduler.algorithm in (SchedulerAlgorithm.MEDIAN, SchedulerAlgorithm.RAY)
    mode = SchedulerMode.STOPPING if stops else draft.mode
    if mode is None:
        mode = SchedulerMode.PROMOTION if card.checkpoints or top.epochs == 1 else SchedulerMode.STOPPING
    return replace(scheduler, mode=mode)


def _racing(draft: StudyDraft, algorithm: SchedulerAlgorithm) -> Racing:
    """The rule as written, or a paired race where ASHA or Hyperband climbs folds for one objective: those who are not
    the best at it may be of use for another."""
    if draft.racing is not None:
        return draft.racing
    usual = algorithm in (SchedulerAlgorithm.ASHA, SchedulerAlgorithm.HYPERBAND) and len(draft.objectives) <= 1
    return Racing.PAIRED if usual and draft.evaluation.fold_runs > 1 else Racing.NONE


def chosen_split(draft: StudyDraft, inspection: Inspection | None) -> Split:
    """The split as written, or what suits the data: group with group labels, stratified for classes, else k-fold."""
    if draft.split is not None:
        return draft.split
    if draft.dataset is not None and draft.dataset.groups is not None:
        return Split.GROUP
    return Split.STRATIFIED if inspection is not None and inspection.classification else Split.KFOLD


def _against_card(draft: StudyDraft, card: Card) -> Iterator[Violation]:
    if card.parent and draft.parent is None:
        yield Violation("parent", f"{card.name} builds on another study, and none is named", "write parent: STUDY")
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
    named += [(f"{path}.metric", limit.metric) for path, limit in zip(draft.limit_paths(), draft.limits, strict=True)]
    for path, metric in named:
        if card.metrics and metric and not _reports(card, metric):
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
    yield from population_violations(draft, _space(draft, card), card.checkpoints)
    if draft.evaluation.folds and not card.folds:
        yield Violation(
            "evaluation.folds",
            f"{card.name} trains on one hold-out split of its own",
            "remove folds, or register it with folds=True and read searchd.trainable.current()",
        )
    if not draft.space.parameters:
        free = tuple(p for p in card.space.parameters if p.name not in draft.fixed)
        yield from algorithm_violations(SearchSpace(free), draft.search.algorithm)
        yield from constrained_violations(_space(draft, card), draft)
    if draft.search.algorithm is Algorithm.GRADIENT:
        yield from _without_gradients(draft, card)
    scheduler = _scheduler(draft, card)
    ladder = _ladder(scheduler, draft)
    if scheduler.algorithm is SchedulerAlgorithm.ASHA and scheduler.brackets > len(ladder):
        message = f"{scheduler.brackets} is more than the ladder has rungs"
        yield Violation("scheduler.brackets", message, f"use at most {len(ladder)}")
    population = scheduler.algorithm is SchedulerAlgorithm.POPULATION
    if not card.checkpoints and _waits(scheduler, ladder) and not population:
        yield Violation(
            "scheduler.mode",
            f"{card.name} keeps no checkpoints, so a paused trial would be lost",
            "use mode: stopping, a ladder that climbs by folds only, or ctx.keep in the trainable",
        )


def _reports(card: Card, metric: str) -> bool:
    """Whether it declares the metric, or the one whose value for some of the rows it is: ``accuracy[sex=female]``."""
    whole, bracket, _ = metric.partition("[")
    return metric in card.metrics or bool(bracket and metric.endswith("]") and whole in card.metrics)


def _without_gradients(draft: StudyDraft, card: Card) -> Iterator[Violation]:
    """What leaves a search by gradients without any, or what it does not heed."""
    otherwise = "use another search.algorithm, such as bayesian"
    metric = draft.objectives[0].metric if draft.objectives else next(iter(card.metrics), "")
    if not card.gradients:
        yield Violation("search.algorithm", f"{card.name} reports no gradients", otherwise)
    elif metric in card.metrics and metric not in card.gradients:
        message = f"{card.name} reports no gradients of {metric!r}"
        yield Violation("objectives[0].metric", message, f"choose {' or '.join(card.gradients)}, or {otherwise}")
    space = draft.space if draft.space.parameters else card.space
    if all(p.name in draft.fixed for p in space.continuous()):
        message = "has no continuous parameter for a search by gradients to take steps in"
        yield Violation("search_space", message, f"give one a uniform or loguniform domain, or {otherwise}")
    if draft.limits or draft.space.constraints:
        yield Violation("constraints", "a search by gradients does not heed any", f"leave them out, or {otherwise}")


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


def _waits(scheduler: Scheduler, ladder: Ladder) -> bool:
    """Whether some fold run must wait in mid-training for a decision."""
    partial = [rung for rung in ladder if rung.epochs < ladder[-1].epochs]
    return any(scheduler.pauses or rung.folds > 1 for rung in partial)


def _ladder(scheduler: Scheduler, draft: StudyDraft) -> Ladder:
    """The rungs of a draft, which may have mistakes."""
    evaluation = draft.evaluation
    trials = draft.budget.trials if draft.budget.trials > 0 else Budget().trials
    return StudySpec(
        draft.trainable,
        draft.objectives,
        scheduler=replace(scheduler, eta=max(scheduler.eta, 2), min_epochs=max(scheduler.min_epochs, 1)),
        evaluation=replace(
            evaluation,
            folds=max(evaluation.folds, 0),
            repeats=max(evaluation.repeats, 1),
            epochs=max(evaluation.epochs, 1),
        ),
        budget=Budget(trials=trials),
    ).ladder


def _unknown_trainable(name: str, cards: Mapping[str, Card]) -> Violation:
    if not name:
        return Violation("trainable", "is not set", f"name one of {', '.join(sorted(cards)) or 'none'}")
    remedy = _nearest(name, sorted(cards), "`searchd trainables` lists them; `searchd up --trainables` adds modules")
    return Violation("trainable", f"no trainable {name!r} is registered", remedy)


def _nearest(name: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}" if known else otherwise
