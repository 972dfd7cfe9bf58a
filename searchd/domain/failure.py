"""The ways in which an attempt at a fold run can fail, each with its own number of retries."""

from enum import StrEnum


class Failure(StrEnum):
    """What went wrong with an attempt. The value is its name in study files."""

    ERROR = "error"
    """The trainable raised."""
    NOT_FINITE = "not_finite"
    """The objective was NaN or infinite, or the trainable gave the configuration up as infeasible."""
    METRIC_MISSING = "metric_missing"
    """It reported without the objective's metric, or never reported."""
    OUT_OF_MEMORY = "out_of_memory"
    """The trainable, or the node for its sake, ran out of memory: the host's or a GPU's."""
    WORKER_KILLED = "worker_killed"
    """The worker's process ended: it crashed, called exit, or somebody killed it."""
    NODE_LOST = "node_lost"
    """The worker's node, or the cluster as a whole, was lost."""
    PREEMPTED = "preempted"
    """The worker's node was taken back by whoever lends it."""
    TIMED_OUT = "timed_out"
    """The segment ran longer than it may, though it reported."""
    HUNG = "hung"
    """Nothing was reported for longer than the study allows."""

    @property
    def crash(self) -> bool:
        """Whether it ended a worker for which the trainable may be to blame."""
        return self in (Failure.OUT_OF_MEMORY, Failure.WORKER_KILLED)


RETRIES: dict[Failure, int] = {
    Failure.ERROR: 0,
    Failure.NOT_FINITE: 0,
    Failure.METRIC_MISSING: 0,
    Failure.OUT_OF_MEMORY: 1,
    Failure.WORKER_KILLED: 2,
    Failure.NODE_LOST: 20,
    Failure.PREEMPTED: 100,
    Failure.TIMED_OUT: 0,
    Failure.HUNG: 1,
}
"""How often a fold run is handed out again after each failure, unless its study says otherwise. What would go wrong the
same way again is not retried; what is nobody's fault nearly always is."""
