"""A study as a caller wrote it: what is unset is decided by the service, which knows the trainable and the data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from searchd.domain.evaluation import Evaluation, Racing, Split
from searchd.domain.objective import Limit, Objective
from searchd.domain.parent import Parent
from searchd.domain.scheduler import Scheduler, SchedulerMode
from searchd.domain.search import Search
from searchd.domain.space import Parameters, SearchSpace
from searchd.domain.study import Budget, Dataset, Resources, Retry


@dataclass(frozen=True, slots=True)
class StudyDraft:
    """A definition with gaps; the fields are those of StudySpec unless said otherwise.

    Attributes:
        trainable: Registered name; empty if unset.
        objectives: As written; empty means the trainable's first metric.
        racing: None means ``paired`` for one objective where ASHA or Hyperband climbs folds, else ``none``. Overrides
            evaluation.racing.
        space: Empty means the trainable's default space.
        scheduler: None means ASHA where there is a ladder to climb, else none.
        mode: ASHA's form; None means promotion if the trainable can pause, else stopping. Overrides scheduler.mode.
        split: None means group with dataset.groups, else stratified for classification, else k-fold. Overrides
            evaluation.split.
        limits_at: Where each limit stands among the constraints as written, from 0; empty if they come first.
        expressions_at: The same for each of the space's constraints; empty if there is nothing else.
    """

    trainable: str
    objectives: tuple[Objective, ...] = ()
    space: SearchSpace = field(default_factory=SearchSpace)
    dataset: Dataset | None = None
    fixed: Parameters = field(default_factory=dict)
    seed: int = 0
    search: Search = field(default_factory=Search)
    scheduler: Scheduler | None = None
    mode: SchedulerMode | None = None
    evaluation: Evaluation = field(default_factory=Evaluation)
    split: Split | None = None
    racing: Racing | None = None
    resources: Resources = field(default_factory=Resources)
    budget: Budget = field(default_factory=Budget)
    retry: Retry = field(default_factory=Retry)
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    warm_start: tuple[str, ...] = ()
    code_id: str = ""
    parent: Parent | None = None
    track: tuple[str, ...] = ()
    limits_at: tuple[int, ...] = field(default=(), compare=False)
    expressions_at: tuple[int, ...] = field(default=(), compare=False)

    def limit_paths(self) -> Iterator[str]:
        """Where each limit is, in the study file's terms."""
        return (f"constraints[{place}]" for place in self.limits_at or range(len(self.limits)))
