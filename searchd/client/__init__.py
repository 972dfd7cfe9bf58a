"""The Python client: needs gRPC, and neither Ray nor a database."""

from searchd.client.client import Client
from searchd.client.cluster import Cluster, ServerInfo, Trainable
from searchd.client.connection import Backoff
from searchd.client.handle import LogChunk, StudyHandle
from searchd.client.insight import Curve, CurvePoint, Importance, ParetoFront, ParetoTrial
from searchd.client.leaderboard import Leaderboard
from searchd.client.table import Table
from searchd.client.views import BestConfig, Entry, FoldRun, Study, Trial
from searchd.client.watch import Deleted, Event

__all__ = [
    "Backoff",
    "BestConfig",
    "Client",
    "Cluster",
    "Curve",
    "CurvePoint",
    "Deleted",
    "Entry",
    "Event",
    "FoldRun",
    "Importance",
    "Leaderboard",
    "LogChunk",
    "ParetoFront",
    "ParetoTrial",
    "ServerInfo",
    "Study",
    "StudyHandle",
    "Table",
    "Trainable",
    "Trial",
]
