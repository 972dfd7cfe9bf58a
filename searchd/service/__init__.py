"""Use cases, and the loop that drives the conductor."""

from dataclasses import dataclass

from searchd.service.insight import Insight
from searchd.service.leaderboards import Leaderboards
from searchd.service.studies import Studies
from searchd.service.system import System
from searchd.service.trainables import Trainables
from searchd.service.trials import Trials
from searchd.service.watch import Watches


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a front door may call."""

    studies: Studies
    watches: Watches
    trials: Trials
    leaderboards: Leaderboards
    insight: Insight
    trainables: Trainables
    system: System
