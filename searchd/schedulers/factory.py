"""Which class schedules for which settings."""

from typing import assert_never

from searchd.domain.brackets import brackets_of
from searchd.domain.errors import InvalidStudy
from searchd.domain.scheduler import SchedulerAlgorithm
from searchd.domain.study import StudySpec
from searchd.ports.scheduler import Scheduler
from searchd.schedulers.asha import AshaPromotion, AshaStopping
from searchd.schedulers.median import MedianStopping
from searchd.schedulers.population import Population
from searchd.schedulers.vendors import scheduler_violations


def make_scheduler(spec: StudySpec) -> Scheduler:
    """A scheduler for a study that knows of no trial yet.

    Without an algorithm the ladder is its top rung alone, which no scheduler is asked about, so ASHA does for that.

    Raises:
        InvalidStudy: a scheduler of Ray Tune is named that there is not, or that cannot run here.
    """
    match spec.scheduler.algorithm:
        case SchedulerAlgorithm.NONE | SchedulerAlgorithm.ASHA | SchedulerAlgorithm.HYPERBAND:
            form = AshaPromotion if spec.scheduler.pauses else AshaStopping
            return form(spec.scheduler.eta, brackets_of(spec))
        case SchedulerAlgorithm.MEDIAN:
            return MedianStopping()
        case SchedulerAlgorithm.POPULATION:
            return Population(spec.seed)
        case SchedulerAlgorithm.RAY:
            return _vendors_scheduler(spec)
        case _:
            assert_never(spec.scheduler.algorithm)


def _vendors_scheduler(spec: StudySpec) -> Scheduler:
    violations = tuple(scheduler_violations(spec.scheduler, None))
    if violations:
        raise InvalidStudy(violations)
    from searchd.schedulers.ray_tune import RayScheduler  # noqa: PLC0415

    return RayScheduler(spec.scheduler, spec.seed, len(spec.ladder))
