"""Which class schedules for which settings."""

from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerMode
from searchd.ports.scheduler import Scheduler
from searchd.schedulers.asha import AshaPromotion, AshaStopping


def make_scheduler(settings: Settings) -> Scheduler:
    """A scheduler that knows of no trial yet.

    Without an algorithm the ladder is its top rung alone, which no scheduler is asked about, so ASHA does for that.
    """
    match settings.mode:
        case SchedulerMode.STOPPING:
            return AshaStopping(settings.eta)
        case SchedulerMode.PROMOTION:
            return AshaPromotion(settings.eta)
