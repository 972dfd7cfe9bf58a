"""Which class schedules for which settings."""

from searchd.domain.brackets import brackets_of
from searchd.domain.scheduler import SchedulerAlgorithm
from searchd.domain.study import StudySpec
from searchd.ports.scheduler import Scheduler
from searchd.schedulers.asha import AshaPromotion, AshaStopping
from searchd.schedulers.median import MedianStopping


def make_scheduler(spec: StudySpec) -> Scheduler:
    """A scheduler for a study that knows of no trial yet.

    Without an algorithm the ladder is its top rung alone, which no scheduler is asked about, so ASHA does for that.
    """
    match spec.scheduler.algorithm:
        case SchedulerAlgorithm.NONE | SchedulerAlgorithm.ASHA | SchedulerAlgorithm.HYPERBAND:
            form = AshaPromotion if spec.scheduler.pauses else AshaStopping
            return form(spec.scheduler.eta, brackets_of(spec))
        case SchedulerAlgorithm.MEDIAN:
            return MedianStopping()
        case _:
            raise ValueError(f"{spec.scheduler.algorithm} is not built yet")
