"""Population-based training: how many train side by side, and how the parameters of a descendant are found.

Jaderberg et al., "Population Based Training of Neural Networks", 2017.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence

from searchd.domain.draft import StudyDraft
from searchd.domain.errors import Violation
from searchd.domain.evaluation import Evaluation, Racing
from searchd.domain.fidelity import population_ladder
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.domain.space import Choice, Domain, Parameters, ParameterValue, SearchSpace
from searchd.domain.study import StudySpec

QUANTILE = 4
"""One member in so many yields at a rung, and goes on from one of as many of the best."""

SMALLEST = 2 * QUANTILE
"""Trials that a population needs: as many members as make a quarter, and as many descendants."""

SHRINK, GROW = 0.8, 1.2
"""What a number that is explored is multiplied by."""

RESAMPLED = 0.25
"""The probability with which a choice is drawn anew."""

NOT_AGAIN = "the best of a population comes of a schedule, which cannot be trained anew as one configuration"

ATTEMPTS = 50
"""Draws of parameters that may break the space's constraints before the donor's are taken as they are."""


def population_size(spec: StudySpec) -> int | None:
    """How many members the searcher starts; None for a study that trains no population.

    As many as the budget can sustain: at each of the R - 1 rungs below the top a quarter of the members yields, each to
    one more trial, so that P members take up to P * (1 + (R - 1) / 4) trials. How many train at once does not matter:
    members of a population larger than that take turns.
    """
    if spec.scheduler.algorithm is not SchedulerAlgorithm.POPULATION:
        return None
    trials = spec.budget.trials
    return min(max(QUANTILE * trials // (QUANTILE + len(spec.ladder) - 1), QUANTILE), trials)


def explored(space: SearchSpace, parameters: Parameters, names: Sequence[str], seed: str) -> dict[str, ParameterValue]:
    """The parameters of a descendant.

    Numbers become 0.8 or 1.2 times what they were, by at least a step where there are steps, within their bounds;
    0 stays 0. Choices are drawn anew with probability 1/4. A parameter that becomes active is drawn, one that is no
    longer is left out.

    Args:
        space: The study's.
        parameters: Those of the donor: a configuration of the space.
        names: Parameters that may change; empty for all.
        seed: What chance depends on, and nothing else.

    Returns:
        A configuration of the space that meets its constraints; the donor's where none was found that does.
    """
    for attempt in range(ATTEMPTS):
        chance = random.Random(_hash(f"explore {seed} {attempt}"))
        found: dict[str, ParameterValue] = {}
        for parameter in space.active(found):
            name, domain = parameter.name, parameter.domain
            draws = chance.random(), chance.random()  # the same number for each, whatever becomes of it
            if name not in parameters:
                found[name] = domain.at(draws[0])
            elif names and name not in names:
                found[name] = parameters[name]
            else:
                found[name] = _moved(domain, parameters[name], *draws)
        if space.allows(found):
            return found
    return dict(parameters)


def chosen_first(options: Sequence[int], seed: str) -> list[int]:
    """The options in an order that depends on the seed alone, each equally likely to be the first."""
    return sorted(options, key=lambda option: _hash(f"choose {seed} {option}"))


def population_violations(draft: StudyDraft, space: SearchSpace, checkpoints: bool) -> Iterator[Violation]:
    """What keeps a draft from training a population; nothing if it does not ask for one.

    Args:
        draft: As written; it may have other mistakes.
        space: The space that is to be searched.
        checkpoints: Whether the trainable keeps checkpoints.
    """
    scheduler, evaluation = draft.scheduler, draft.evaluation
    if scheduler is None or scheduler.algorithm is not SchedulerAlgorithm.POPULATION:
        if scheduler is not None and scheduler.explore:
            message = f"{scheduler.algorithm.value} changes no parameters in mid-training"
            yield Violation("scheduler.explore", message, "leave it out, or set scheduler.algorithm to population")
        return
    if draft.mode is SchedulerMode.STOPPING:
        message = "members of a population go on or yield, and are not stopped by a mode"
        yield Violation("scheduler.mode", message, "leave it out")
    if not checkpoints:
        message = f"a population goes on from checkpoints, and {draft.trainable} keeps none"
        yield Violation("scheduler.algorithm", message, "use ctx.keep in the trainable, or another scheduler.algorithm")
    yield from _parameter_violations(scheduler.explore, space)
    if 1 <= draft.budget.trials < SMALLEST:
        message = f"{draft.budget.trials} are too few for a population"
        yield Violation("budget.trials", message, f"use at least {SMALLEST}")
    yield from _evaluation_violations(evaluation, scheduler.min_epochs, draft.racing)
    if draft.dataset is not None and draft.dataset.test is not None:
        yield Violation("dataset.test", NOT_AGAIN, "leave it out, and set the rows aside yourself")


def _evaluation_violations(evaluation: Evaluation, min_epochs: int, racing: Racing | None) -> Iterator[Violation]:
    ladder = population_ladder(max(evaluation.fold_runs, 1), max(evaluation.epochs, 1), max(min_epochs, 1))
    if len(ladder) < 2:
        message = f"a population needs a rung below the top, and {evaluation.epochs} epochs have none"
        yield Violation("evaluation.epochs", message, "use at least twice as many epochs as scheduler.min_epochs")
    if any(rung.folds < evaluation.fold_runs for rung in evaluation.ladder):
        message = "a population climbs by epochs, and a rung leaves folds out"
        yield Violation("evaluation.ladder", message, f"leave it out, or give each rung {evaluation.fold_runs} folds")
    if racing not in (None, Racing.NONE):
        message = "members of a population train all folds at once, so that there is no race"
        yield Violation("evaluation.racing", message, "leave it out")
    if evaluation.confirm is not None:
        yield Violation("evaluation.confirm", NOT_AGAIN, "leave it out")


def _parameter_violations(names: Sequence[str], space: SearchSpace) -> Iterator[Violation]:
    if not space.parameters:
        yield Violation("search_space", "has no parameter that a population could change", "write one")
        return
    for index, name in enumerate(names):
        if name not in space.names():
            message = f"there is no parameter {name!r} in the search space"
            yield Violation(f"scheduler.explore[{index}]", message, f"use some of {', '.join(space.names())}")
        elif name in names[:index]:
            yield Violation(f"scheduler.explore[{index}]", f"{name!r} is given twice", "name each parameter once")


def _moved(domain: Domain, value: ParameterValue, direction: float, pick: float) -> ParameterValue:
    """The value elsewhere in its domain, by two uniform draws from [0, 1)."""
    if isinstance(domain, Choice):
        return domain.at(pick) if direction < RESAMPLED else value
    target = value * (SHRINK if direction < 0.5 else GROW)
    levels = domain.levels
    if levels is None:
        return min(max(target, domain.low), domain.high)
    here, there = levels.nearest(value), levels.nearest(target)
    if there == here:
        # Of a negative number the smaller multiple is the larger number.
        up = (direction >= 0.5) == (value >= 0)
        there = min(max(here + (1 if up else -1), 0), levels.count - 1)
    return levels.value(there)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
