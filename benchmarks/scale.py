"""What an input costs the conductor in a large cluster against one of a tenth of the size, in virtual time.

The conductor, its fair queue, ASHA and random searchers are the real ones; workers are simulated, and facts go nowhere,
so that what is timed is deciding. Times are processor times of one thread; the simulator's own cost is in them.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.report import Figure, Ratio, Report
from searchd.conductor.messages import CreateStudy
from searchd.domain.evaluation import Evaluation
from searchd.domain.facts import Fact
from searchd.domain.objective import Goal, Objective
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.study import Budget, Study, StudySpec, study_name
from searchd.engines.simulated import Epoch, SimulatedCluster, SimulatedEngine, VirtualClock
from searchd.ports.engine import Node, Segment
from searchd.schedulers.factory import make_scheduler
from searchd.searchers.local import LocalSearchers
from searchd.service.simulation import Simulation
from searchd.stores.memory import MemoryStore

EPOCHS = 9
CPUS_PER_NODE = 10
WORKER_START = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Size:
    """Of a simulated service."""

    workers: int
    studies: int
    trials: int

    def tenth(self) -> "Size":
        """A service of a tenth of everything."""
        return Size(self.workers // 10, self.studies // 10, self.trials // 10)


FULL = Size(workers=1000, studies=100, trials=100_000)
QUICK = Size(workers=1000, studies=100, trials=10_000)


def measure(quick: bool) -> Report:
    """Run the tenth, then the whole."""
    size = QUICK if quick else FULL
    tenth, whole = run(size.tenth()), run(size)
    each = whole.seconds / whole.inputs
    return Report(
        "scale",
        (Ratio("itself_at_a_tenth", (tenth.seconds / tenth.inputs) / each),),
        (
            Figure("inputs_per_second", 1 / each, "inputs/s"),
            Figure("microseconds_per_input", each * 1e6, "us"),
            Figure("microseconds_per_input_at_a_tenth", tenth.seconds / tenth.inputs * 1e6, "us"),
            Figure("microseconds_per_trial", whole.seconds / size.trials * 1e6, "us"),
        ),
        (f"{size.workers} workers, {size.studies} studies, {size.trials} trials, {whole.inputs} inputs",),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Processor seconds that a simulation took, and how many inputs were decided."""

    seconds: float
    inputs: int


def run(size: Size) -> Run:
    """Simulate a service until all its studies have ended.

    Raises:
        RuntimeError: some have not.
    """
    clock = VirtualClock()
    nodes = [Node(f"node-{i}", CPUS_PER_NODE, 0) for i in range(max(size.workers // CPUS_PER_NODE, 1))]
    cluster = SimulatedCluster(clock, nodes, _behaviour, WORKER_START)
    simulation = Simulation(_Discarding(), make_scheduler, clock, cluster)
    simulation.start(SimulatedEngine(cluster, simulation.post), LocalSearchers(simulation.post))
    began = time.process_time()
    for i in range(size.studies):
        simulation.request(CreateStudy(_study(i, size.trials // size.studies, clock.now())))
    simulation.run()
    seconds = time.process_time() - began
    if simulation.conductor.mind.studies:
        raise RuntimeError(f"{len(simulation.conductor.mind.studies)} studies have not ended")
    return Run(seconds, simulation.inputs)


class _Discarding(MemoryStore):
    """A store that keeps nothing: nobody reads, and writing is not what is timed."""

    def commit(self, facts: Sequence[Fact], at: datetime) -> int:  # noqa: ARG002
        return 0


def _study(number: int, trials: int, now: datetime) -> Study:
    spec = StudySpec(
        "simulated",
        (Objective("accuracy", Goal.MAXIMIZE),),
        SearchSpace((Parameter("x", Float(0.0, 1.0)),)),
        seed=number,
        search=Search(Algorithm.RANDOM),
        evaluation=Evaluation(epochs=EPOCHS),
        budget=Budget(trials=trials),
    )
    return Study(study_name("default", f"study-{number}"), spec, "code", "", now)


def _behaviour(segment: Segment, epoch: int) -> Iterator[Epoch]:
    rng = random.Random(segment.trial)
    for number in range(epoch + 1, segment.task.evaluation.epochs + 1):
        yield Epoch({"accuracy": rng.random() + 0.01 * number}, timedelta(seconds=rng.uniform(0.5, 2.0)))
