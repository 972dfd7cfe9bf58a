"""A worker's actor as an earlier version would have left it. Loads Ray."""

from searchd.engines.ray.actor import WorkerActor
from searchd.worker.messages import PROTOCOL_VERSION


class OutdatedActor(WorkerActor):
    """Says that it speaks another version, and refuses to hear anything but what is stable between versions."""

    protocol = PROTOCOL_VERSION - 1
