"""Which class schedules for which settings."""

from searchd.domain.errors import InvalidStudy
from searchd.domain.scheduler import Scheduler as Settings
from searchd.domain.scheduler import SchedulerAlgorithm, SchedulerMode
from searchd.ports.scheduler import Scheduler
from searchd.schedulers.asha import AshaPromotion, AshaStopping
from searchd.schedulers.population import Population
from searchd.schedulers.vendors import scheduler_violations


def make_scheduler(settings: Settings, seed: int = 0, rungs: int = 10) -> Scheduler:
    """A scheduler that knows of no trial yet.

    Without an algorithm the ladder is its top rung alone, which no scheduler is asked about, so ASHA does for that.

    Args:
        settings: Who decides, and how.
        seed: The study's.
        rungs: Rungs of the study's ladder, at least 1.

    Raises:
        InvalidStudy: a scheduler of Ray Tune is named that there is not, or that cannot run here.
    """
    if settings.algorithm is SchedulerAlgorithm.RAY:
        return _vendors_scheduler(settings, seed, rungs)
    if settings.algorithm is SchedulerAlgorithm.POPULATION:
        return Population(seed)
    match settings.mode:
        case SchedulerMode.STOPPING:
            return AshaStopping(settings.eta)
        case SchedulerMode.PROMOTION:
            return AshaPromotion(settings.eta)


def _vendors_scheduler(settings: Settings, seed: int, rungs: int) -> Scheduler:
    violations = tuple(scheduler_violations(settings, None))
    if violations:
        raise InvalidStudy(violations)
    from searchd.schedulers.ray_tune import RayScheduler  # noqa: PLC0415

    return RayScheduler(settings, seed, rungs)
