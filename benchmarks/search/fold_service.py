"""What the service makes of a study that says ``folds`` and nothing else, over the fold table, in virtual time.

The definition, the conductor, the scheduler and the searcher are the real ones. Random search draws from a space whose
one parameter is the number of a configuration; workers are simulated, and a fit takes the table's mean seconds of its
configuration, a thousand times as long, so that fits are not queued on workers as those of milliseconds are.
"""

from collections.abc import Iterator
from datetime import timedelta

from benchmarks.search.fold_peers import Run
from benchmarks.search.fold_table import CONFIGURATIONS, Task
from searchd.conductor.messages import CreateStudy
from searchd.domain.card import Card, Form
from searchd.domain.draft import StudyDraft
from searchd.domain.evaluation import Evaluation
from searchd.domain.objective import Goal
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Integer, Parameter, Parameters, SearchSpace
from searchd.domain.study import Budget, Study, StudySpec, study_name
from searchd.domain.trial import Origin, TrialNumber
from searchd.engines.simulated import Behaviour, Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import Node, Segment
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.factory import make_searcher
from searchd.searchers.local import LocalSearchers
from searchd.service.definition import Surroundings, define
from searchd.service.simulation import Simulation
from searchd.stores.memory import MemoryStore

SLOWER = 1000
NAME = study_name("default", "folds")
SPACE = SearchSpace((Parameter("configuration", Integer(0, CONFIGURATIONS - 1)),))
CARD = Card("table", "The fold table.", Form.GENERATOR, {"accuracy": Goal.MAXIMIZE}, SPACE, None, True, True, "code")


def order(seed: int) -> list[int]:
    """The configurations that a study of this seed tries, all but the table's last, in this order."""
    searcher = make_searcher(_definition(5, seed, 1))
    suggestions = [searcher.suggest(TrialNumber(n + 1)) for n in range(CONFIGURATIONS)]
    return [suggestion.parameters["configuration"] for suggestion in suggestions if suggestion is not None]


def served(task: Task, seed: int, slots: int, trials: int) -> Run:
    """A study of so many trials on a cluster with so many slots.

    Raises:
        RuntimeError: the study has not succeeded.
    """
    fits = 0

    def fitted(segment: Segment, epoch: int) -> Iterator[Epoch]:  # noqa: ARG001  # there is one
        nonlocal fits
        fits += 1
        row = segment.parameters["configuration"]
        yield Epoch(
            {"accuracy": float(task.scores[row, segment.fold])},
            timedelta(seconds=SLOWER * float(task.seconds[row])),
        )

    study, store = simulated(_definition(task.scores.shape[1], seed, trials), fitted, slots)
    best = study.progress.best
    if best is None or study.ended_at is None:
        raise RuntimeError(f"{task.name}, seed {seed}: the study is {study.state}: {study.reason}")
    chosen = store.trial(NAME, TrialNumber(best.trial)).parameters["configuration"]
    return Run(chosen, fits, (study.ended_at - study.created_at).total_seconds() / SLOWER)


def simulated(
    spec: StudySpec, fitted: Behaviour, slots: int, default: Parameters | None = None
) -> tuple[Study, MemoryStore]:
    """A study on a cluster with so many slots, after nothing more happens to it, and the store that has its trials.
    The default configuration, if there is one, is trial 1."""
    first = () if default is None else ((default, Origin.DEFAULT),)
    clock, store = VirtualClock(), MemoryStore()
    cluster = SimulatedCluster(clock, [Node("node", slots, 0)], fitted, timedelta(0))
    simulation = Simulation(store, make_scheduler, clock, cluster)
    simulation.start(SimulatedEngine(cluster, simulation.post), LocalSearchers(simulation.post))
    simulation.request(CreateStudy(Study(NAME, spec, "code", "", clock.now()), first))
    simulation.run()
    return store.study(NAME), store


def _definition(folds: int, seed: int, trials: int) -> StudySpec:
    draft = StudyDraft(
        CARD.name,
        seed=seed,
        search=Search(Algorithm.RANDOM),
        evaluation=Evaluation(folds=folds),
        budget=Budget(trials=trials),
    )
    return define(draft, (), Surroundings({CARD.name: CARD}, None, (Node("node", 64, 0),)))
