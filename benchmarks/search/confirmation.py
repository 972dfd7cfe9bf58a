"""Whether confirmation keeps a study on few rows from choosing what is worse than the default.

Studies of 40 random configurations with ``folds: 5`` and nothing else, on 100 rows of wine, cancer and digits, with
support vector machines and trees (see confirmation_table); the service is the real one, in virtual time, on one slot.
The default is scikit-learn's own. The same study with ``confirm: {top: 3, repeats: 2}`` trains the best three and the
default on two fresh repeats. As in the service these are the same rows divided anew, so whatever is special about the
100 rows is in every score. The third arm has no confirmation and tries as many more configurations as its cost allows.

All choices are scored on the rows for test, which no arm sees. Regret is to the best of all configurations there;
optimism is how much higher the score is that comes with the choice: that of the search without confirmation, the mean
on fresh repeats with it, and that mean shrunken. The default's, which nothing was chosen by, is there to compare.

The rule of choice was itself chosen on splits 0 to 7; what is reported is from the others. A task is a learner, a
dataset and a split; its three studies share its rows and are averaged before anything is compared. Intervals are of 95%
and from the bootstrap over tasks, p is Wilcoxon's. Splits of one dataset have rows in common, so both flatter.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import fmean

import numpy as np

from benchmarks.report import Figure, Ratio
from benchmarks.search.confirmation_table import CONFIGURATIONS, DEFAULT, FOLDS, Task, tasks
from benchmarks.search.fold_peers import Limit, Run, within
from benchmarks.search.fold_service import CARD, NAME, simulated
from benchmarks.search.statistics import RESAMPLES, Array, paired_p
from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Confirm, Evaluation
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Integer, Parameter, SearchSpace
from searchd.domain.study import Budget, Study
from searchd.domain.trial import TrialNumber
from searchd.engines.simulated import Epoch
from searchd.ports.engine import Node, Segment
from searchd.service.definition import Surroundings, define
from searchd.stores.memory import MemoryStore

REPORTED = range(8, 32)
SEEDS = 3
TRIALS = 40
CONFIRM = Confirm(top=3, repeats=2)

SPACE = SearchSpace((Parameter("configuration", Integer(0, CONFIGURATIONS)),))
SECONDS = 60.0
"""What every fit takes."""

SEARCHED, FRESH = slice(0, 1), slice(1, None)
"""The repeats of the search, and those of confirmation."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One study of a task in all arms.

    Attributes:
        task: The task.
        without: Without confirmation.
        confirmed: With it.
        longer: Without it, at the cost of the study with it.
        shrunk: The shrunken mean of the configuration that was chosen with confirmation, in points.
    """

    task: Task
    without: Run
    confirmed: Run
    longer: Run
    shrunk: float


ARMS: dict[str, Callable[[Outcome], int]] = {
    "without": lambda outcome: outcome.without.chosen,
    "with": lambda outcome: outcome.confirmed.chosen,
    "equal_cost": lambda outcome: outcome.longer.chosen,
}


def measure(quick: bool) -> tuple[Sequence[Ratio], Sequence[Figure]]:
    """Three studies of every task that is for reporting, or, quickly, one of twelve of them."""
    chosen = enumerate(tasks(REPORTED[:2] if quick else REPORTED))
    studies = ((task, place * SEEDS + n) for place, task in chosen for n in range(1 if quick else SEEDS))
    return (), tuple(figures([played(task, seed) for task, seed in studies]))


def figures(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """The stable figures, and a grid by learner and dataset."""
    worse = {arm: judged(outcomes, of, is_worse) for arm, of in ARMS.items()}
    regrets = {arm: judged(outcomes, of, regret) for arm, of in ARMS.items()}
    yield from (Figure(f"worse_than_default_{arm}", float(of.mean()), "share") for arm, of in worse.items())
    yield from (Figure(f"test_regret_points_{arm}", float(of.mean()), "points") for arm, of in regrets.items())
    default = judged(outcomes, lambda _: DEFAULT, regret)
    yield Figure("test_regret_points_default", float(default.mean()), "points")
    for other in ("without", "equal_cost"):
        yield from _compared(f"worse_than_default_with_vs_{other}", worse["with"] - worse[other], "share")
        yield from _compared(f"test_regret_points_with_vs_{other}", regrets["with"] - regrets[other], "points")
    yield from _optimism(outcomes)
    yield Figure("confirmation_fits_without", fmean(o.without.fits for o in outcomes), "fits")
    yield Figure("confirmation_fits_with", fmean(o.confirmed.fits for o in outcomes), "fits")
    yield Figure("confirmation_fits_equal_cost", fmean(o.longer.fits for o in outcomes), "fits")
    changed = fmean(o.confirmed.chosen != o.without.chosen for o in outcomes)
    yield Figure("confirmation_changes_choice", changed, "share")
    kinds = dict.fromkeys(_kind(outcome) for outcome in outcomes)
    for kind in kinds:
        alike = [outcome for outcome in outcomes if _kind(outcome) == kind]
        for arm, of in ARMS.items():
            yield Figure(f"worse_than_default/{kind}/{arm}", float(judged(alike, of, is_worse).mean()), "share")


def played(task: Task, seed: int) -> Outcome:
    """A study with confirmation, which is one without until then, and one without at the cost of it."""
    study, store, fits = served(task, seed, TRIALS, CONFIRM)
    winner = study.progress.confirmed[0]
    confirmed = Run(_configuration(store, winner.trial), sum(fits), SECONDS * sum(fits))

    def search(trials: int) -> Run:
        return _selected(*served(task, seed, trials, None))

    longer = within(search, Limit(fits=confirmed.fits), CONFIGURATIONS)
    return Outcome(task, _selected(study, store, fits), confirmed, longer, winner.shrunk or 0.0)


def served(task: Task, seed: int, trials: int, confirm: Confirm | None) -> tuple[Study, MemoryStore, Sequence[int]]:
    """A study of so many trials when it has ended, with its store, and its fits: of the search and of confirmation.

    Raises:
        RuntimeError: the study has found nothing.
    """
    fits = [0, 0]

    def fitted(segment: Segment, epoch: int) -> Iterator[Epoch]:  # noqa: ARG001  # there is one
        fits[segment.repeat > 0] += 1
        score = task.scores[segment.parameters["configuration"], segment.repeat, segment.fold]
        yield Epoch({"accuracy": float(score)}, timedelta(seconds=SECONDS))

    default = {"configuration": DEFAULT}
    draft = StudyDraft(
        CARD.name,
        seed=seed,
        search=Search(Algorithm.RANDOM),
        evaluation=Evaluation(folds=FOLDS, confirm=confirm),
        budget=Budget(trials=trials),
    )
    card = replace(CARD, space=SPACE, default=default)
    spec = define(draft, (), Surroundings({CARD.name: card}, None, (Node("node", 64, 0),)))
    study, store = simulated(spec, fitted, 1, default)
    if study.progress.best is None or (confirm is not None and not study.progress.confirmed):
        raise RuntimeError(f"{task.name}, seed {seed}: the study is {study.state}: {study.reason}")
    return study, store, fits


def is_worse(task: Task, chosen: int) -> bool:
    """Whether a configuration gets fewer of the rows for test right than the default."""
    return bool(task.test[chosen] < task.test[DEFAULT])


def regret(task: Task, chosen: int) -> float:
    """What a configuration is below the best of all on the rows for test, in points."""
    return float(task.test.max() - task.test[chosen])


def optimism(task: Task, chosen: int, repeats: slice) -> float:
    """What a configuration's mean over these repeats is above its score on the rows for test, in points."""
    return float(task.scores[chosen, repeats].mean() - task.test[chosen])


def judged(outcomes: Iterable[Outcome], of: Callable[[Outcome], int], judge: Callable[[Task, int], float]) -> Array:
    """What a judge says of an arm's choices: the mean over the studies of each task, tasks in the order of their first;
    shape (n_tasks,)."""
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        values.setdefault(outcome.task.name, []).append(judge(outcome.task, of(outcome)))
    return np.array([fmean(of_task) for of_task in values.values()])


def interval(values: Array) -> tuple[float, float]:
    """The 95% bootstrap interval of the mean of values, shape (n_tasks,)."""
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _selected(study: Study, store: MemoryStore, fits: Sequence[int]) -> Run:
    """What the search alone came to."""
    trial = 0 if study.progress.best is None else study.progress.best.trial
    return Run(_configuration(store, trial), fits[0], SECONDS * fits[0])


def _configuration(store: MemoryStore, trial: int) -> int:
    return int(store.trial(NAME, TrialNumber(trial)).parameters["configuration"])


def _compared(name: str, differences: Array, unit: str) -> Iterator[Figure]:
    """The mean of paired differences, below 0 where confirmation is better, with its interval and p."""
    low, high = interval(differences)
    yield Figure(name, float(differences.mean()), unit)
    yield Figure(f"{name}_low", low, unit)
    yield Figure(f"{name}_high", high, unit)
    yield Figure(f"{name}_p", paired_p(differences, np.zeros_like(differences)), "")


def _optimism(outcomes: Sequence[Outcome]) -> Iterator[Figure]:
    """By the score that was chosen by, with confirmation by the mean on fresh repeats and by that shrunken. Nothing was
    chosen by the score of the default: what it lacks or has is due to the rows."""
    found = {
        "without": fmean(optimism(o.task, o.without.chosen, SEARCHED) for o in outcomes),
        "with": fmean(optimism(o.task, o.confirmed.chosen, FRESH) for o in outcomes),
        "with_shrunk": fmean(o.shrunk - float(o.task.test[o.confirmed.chosen]) for o in outcomes),
        "equal_cost": fmean(optimism(o.task, o.longer.chosen, SEARCHED) for o in outcomes),
        "default": fmean(optimism(o.task, DEFAULT, SEARCHED) for o in outcomes),
    }
    yield from (Figure(f"optimism_points_{of}", value, "points") for of, value in found.items())


def _kind(outcome: Outcome) -> str:
    """Learner and dataset."""
    return outcome.task.name.rpartition("-")[0]
