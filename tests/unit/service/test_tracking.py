"""Whom the loop has tracked."""

from collections.abc import Sequence

from searchd.domain.study import Study, StudyState, study_name
from searchd.ports.tracker import Tracked
from searchd.service.studies import Studies
from tests.unit.service.service_house import CARD, Cards, NoData, World, soon

NAME = study_name("default", "a")


class NotedTracker:
    """A tracker that notes whom it is to follow."""

    def __init__(self) -> None:
        self.followed: list[StudyState] = []

    def follow(self, study: Study) -> None:
        """Note the study's state."""
        assert study.name == NAME
        self.followed.append(study.state)

    def state(self, study: Study) -> Sequence[Tracked]:
        """Always the same trouble."""
        return [Tracked(sink, "there", "it is full") for sink in study.spec.track]


async def test_a_study_is_followed_from_its_creation() -> None:
    """The tracker hears of a study when it has been committed, before anything of it runs, and when it ends."""
    world, tracker = World(), NotedTracker()
    async with world.serving() as house:
        house.loop.listeners.tracker = tracker
        await house.create(track=("tensorboard",))
        await house.ended(NAME)
        await house.until(lambda: len(tracker.followed) >= 3)
    assert tracker.followed == [StudyState.PENDING, StudyState.RUNNING, StudyState.SUCCEEDED]


async def test_studies_that_live_are_followed_after_a_recovery() -> None:
    """After a recovery the tracker hears of every study that has not ended."""
    world, tracker = World(), NotedTracker()
    async with world.serving() as house:
        await house.create(track=("tensorboard",))
        await house.until(lambda: world.store.study(NAME).state is StudyState.RUNNING)
        house.loop.listeners.tracker = tracker
        world.store.failing = 1
        await house.until(lambda: bool(tracker.followed))
        await soon(house.ended(NAME))
    assert tracker.followed[0] is StudyState.RUNNING


async def test_how_far_tracking_is_can_be_read() -> None:
    """The service says what the tracker says of a study, and asks it nothing of one that is not tracked."""
    world, tracker = World(), NotedTracker()
    async with world.serving() as house:
        house.studies = Studies(world.store, house.loop, Cards(CARD), NoData(), world.clock, tracker=tracker)
        study = await house.create(track=("mlflow",))
        assert await house.studies.tracked(study) == [Tracked("mlflow", "there", "it is full")]
        assert await house.studies.tracked(await house.create("b")) == ()
