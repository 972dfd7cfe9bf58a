"""Studies by the front door: names, repeats, stopping, deleting, listing."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from searchd.conductor.messages import CreateStudy, DeleteStudy, StopStudy
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import (
    InvalidArgument,
    InvalidStudy,
    RequestReused,
    StoreDamaged,
    StoreUnavailable,
    StudyActive,
    StudyExists,
    StudyNotFound,
    Violation,
)
from searchd.domain.evaluation import Split
from searchd.domain.facts import Fact, StudyDeleted, StudyPut
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm
from searchd.domain.space import SearchSpace
from searchd.domain.study import Budget, Dataset, Study, StudyName, StudyState, study_name
from searchd.domain.trial import Origin, TrialNumber
from searchd.ports.searcher import OpenSearch
from searchd.service.studies import Studies
from tests.unit.service.service_house import CARD, Cards, NoData, World, soon

NAME = study_name("default", "a")


async def test_default_configuration_is_trial_one_without_what_is_fixed() -> None:
    """Trial 1 has the trainable's default values of all parameters that the study does not fix."""
    world = World()
    card = replace(CARD, default={"x": 0.5, "depth": 3})
    async with world.serving(cards=[card]) as house:
        study = await house.create(dataset=Dataset(builtin="digits"), fixed={"depth": 7})
        assert (study.code, study.data, study.spec.evaluation.split) == ("c0de", "da7a", Split.STRATIFIED)
        first = world.store.trial(NAME, TrialNumber(1))
        assert (first.origin, first.parameters) == (Origin.DEFAULT, {"x": 0.5})


async def test_a_default_configuration_that_constraints_forbid_is_not_tried() -> None:
    """The search begins with a proposal then, and the study's remarks say why."""
    world = World()
    async with world.serving() as house:
        study = await house.create(space=SearchSpace((), ("x < 9", "x < 0.5")))
        assert study.progress.search_log == ("the default configuration does not meet 'x < 0.5' and is not tried",)
        assert not any(trial.origin is Origin.DEFAULT for trial in world.store.trials(NAME, None, 0, 10))


async def test_a_warm_start_reaches_the_searcher() -> None:
    """It is opened with what earlier studies hand on, as the study keeps it, and its trials say which was inherited."""
    world = World()
    async with world.serving() as house:
        await house.create()
        await house.ended(NAME)
        warm = await house.create("b", warm_start=("a",), seed=3)
        await house.ended(warm.name)
    heard = [command for command in house.searchers.heard if command.study == warm.name]
    (precedents,) = warm.spec.precedents
    assert len(precedents) >= 5
    assert [c.spec.precedents for c in heard if isinstance(c, OpenSearch)] == [(precedents,)]
    assert [c.spec.inherited for c in heard if isinstance(c, OpenSearch)] == [warm.spec.inherited]
    handed_on = [t.parameters for t in world.store.trials(warm.name, None, 0, 99) if t.origin is Origin.WARM_START]
    assert tuple(handed_on) == warm.spec.inherited == (precedents[0].parameters,)


async def test_violations_of_decoding_are_reported_and_nothing_is_stored() -> None:
    """What the file's reader found is refused together with the service's own findings; nothing is created."""
    world = World()
    found = Violation("colour", "there is no such field", "remove it")
    async with world.serving() as house:
        with pytest.raises(InvalidStudy) as refusal:
            await house.create(violations=[found], budget=Budget(trials=-3))
        assert [v.path for v in refusal.value.violations] == ["colour", "budget.trials"]
        with pytest.raises(InvalidArgument, match="study_id"):
            await house.create("Not An Id")
        assert list(await house.studies.list("default", None, {}, None, 10)) == []


async def test_validation_alone_creates_nothing() -> None:
    """With validate_only the study that would be is answered, and nothing is stored."""
    world = World()
    async with world.serving() as house:
        assert (await house.create(validate_only=True)).name == NAME
        with pytest.raises(StudyNotFound):
            await house.studies.get(NAME)


async def test_definitions_are_checked_away_from_the_loop() -> None:
    """A definition that takes long to check keeps no other request waiting."""
    world = World()
    checked_on: list[threading.Thread] = []

    def noted(draft: StudyDraft, space: SearchSpace) -> Sequence[Violation]:
        checked_on.append(threading.current_thread())
        return ()

    async with world.serving() as house:
        studies = Studies(world.store, house.loop, Cards(CARD), NoData(), world.clock, noted)
        draft = StudyDraft("torch_cnn")
        await studies.create("default", "a", draft, (), request_id="", digest="", validate_only=True)
    assert checked_on
    assert threading.current_thread() not in checked_on


async def test_names_are_made_up_and_never_shared() -> None:
    """Without an id studies are named after the trainable and numbered; creations at once get names of their own."""
    world = World()
    async with world.serving() as house:
        await house.create("torch-cnn-2")
        made = await soon(asyncio.gather(*(house.create("") for _ in range(4))))
    names = sorted(study.name.rsplit("/", 1)[1] for study in made)
    assert names == ["torch-cnn-1", "torch-cnn-3", "torch-cnn-4", "torch-cnn-5"]


async def test_existing_name_gives_the_study_or_what_differs() -> None:
    """The same definition again is the study that exists, ended or not; another one names the fields that differ."""
    world = World()
    async with world.serving() as house:
        first = await house.create(seed=3)
        assert (await house.create(seed=3)).created_at == first.created_at
        with pytest.raises(StudyExists) as refusal:
            await house.create(seed=4, labels={"team": "vision"})
        assert refusal.value.differing == ("seed", "labels")
        await house.ended(NAME)
        assert (await house.create(seed=3)).state is StudyState.SUCCEEDED
        with pytest.raises(StudyExists):
            await house.create(seed=4)


async def test_creations_of_one_name_at_once_make_one_study() -> None:
    """Of many callers that create one name together all get the one study, or are told what differs from it."""
    world = World()
    async with world.serving() as house:
        same = asyncio.gather(*(house.create(seed=1) for _ in range(10)))
        other = asyncio.gather(*(house.create(seed=2) for _ in range(10)), return_exceptions=True)
        alike, others = await soon(same), await soon(other)
    assert {(study.name, study.spec.seed) for study in alike} == {(NAME, 1)}
    assert all(isinstance(refusal, StudyExists) for refusal in others)


async def test_request_id_makes_a_repeat_harmless() -> None:
    """The same request_id gives the first answer, after a restart as well; with another body it is refused."""
    world = World()
    async with world.serving() as house:
        first = await house.create("", request_id="r1")
        again = await house.create("", request_id="r1")
        assert (again.name, again.created_at) == (first.name, first.created_at)
        with pytest.raises(RequestReused):
            await house.create("", request_id="r1", digest="other")
        await house.ended(first.name)
        stopped = await house.studies.stop(first.name, request_id="r2", digest="d")
        assert stopped.state is StudyState.SUCCEEDED
    async with world.serving() as house:
        assert (await house.create("", request_id="r1")).name == first.name
        with pytest.raises(RequestReused):
            await house.studies.delete(first.name, request_id="r1", digest="delete")
        await house.studies.delete(first.name, request_id="r3", digest="delete")
        await house.studies.delete(first.name, request_id="r3", digest="delete")
        with pytest.raises(StudyNotFound):
            await house.studies.delete(first.name, request_id="r4", digest="delete")


async def test_repeats_in_flight_make_one_study() -> None:
    """A request that is repeated before its first answer is out is still carried out once."""
    world = World()
    async with world.serving() as house:
        world.store.release.clear()
        repeats = [asyncio.create_task(house.create("", request_id="r1")) for _ in range(5)]
        await house.until(world.store.waiting.is_set)
        repeats += [asyncio.create_task(house.create("", request_id="r1")) for _ in range(5)]
        await asyncio.sleep(0.05)
        world.store.release.set()
        assert len({study.name for study in await soon(asyncio.gather(*repeats))}) == 1
        assert len(await house.studies.list("default", None, {}, None, 10)) == 1


async def test_first_answer_stays_whatever_became_of_the_study() -> None:
    """A repeat gives the first answer and touches nothing, also once the study is deleted, or created anew."""
    world = World()
    async with world.serving() as house:
        await house.create(seed=1)
        created = await house.create(seed=1, request_id="exists")
        ended = await house.ended(NAME)
        stopped = await house.studies.stop(NAME, request_id="ended", digest="stop")
        assert (created.created_at, stopped.state) == (ended.created_at, StudyState.SUCCEEDED)
        await house.studies.delete(NAME, request_id="gone", digest="delete")
        assert await house.create(seed=1, request_id="exists") == created
        assert await house.studies.stop(NAME, request_id="ended", digest="stop") == stopped
        await house.studies.delete(NAME, request_id="gone", digest="delete")
        assert list(await house.studies.list("default", None, {}, None, 10)) == []
        world.cluster.resize(())
        anew = await house.create(seed=2)
        assert await house.create(seed=1, request_id="exists") == created
        assert await house.studies.stop(NAME, request_id="ended", digest="stop") == stopped
        await house.studies.delete(NAME, request_id="gone", digest="delete")
        there = await house.studies.get(NAME)
        assert (there.spec, there.created_at) == (anew.spec, anew.created_at)
        assert there.state in (StudyState.PENDING, StudyState.RUNNING)


async def test_refused_request_leaves_its_id_unused() -> None:
    """What was refused is not remembered: the same request_id can be used for a request that is right."""
    world = World(nodes=[])
    async with world.serving() as house:
        with pytest.raises(StudyNotFound):
            await house.studies.stop(NAME, request_id="r1", digest="stop")
        await house.create(seed=1)
        with pytest.raises(StudyExists):
            await house.create(seed=2, request_id="r1", digest="create")
        with pytest.raises(StudyActive):
            await house.studies.delete(NAME, request_id="r1", digest="delete")
        assert (await house.studies.stop(NAME, request_id="r1", digest="stop")).name == NAME


async def test_request_is_decided_on_what_there_is_by_then() -> None:
    """A creation that was under way when another one of that name began and ended leaves that one as it is."""
    world = World()
    async with world.serving() as house:
        first = await house.create(seed=1, budget=Budget(trials=1))
        ended = await house.ended(NAME)
        trials = world.store.trials(NAME, None, 0, 10)
        late = replace(first, spec=replace(first.spec, seed=2))
        with pytest.raises(StudyExists):
            await house.loop.request(CreateStudy(late, (({"x": 0.1}, Origin.DEFAULT),)), "", "")
        assert await house.loop.request(CreateStudy(first, (({"x": 0.1}, Origin.DEFAULT),)), "", "") == ended
        assert (world.store.study(NAME), world.store.trials(NAME, None, 0, 10)) == (ended, trials)


async def test_requests_of_one_batch_see_each_other() -> None:
    """What is asked for at the same moment is decided in order: of two deletions one finds nothing, and what is created
    after a deletion is new."""
    world = World()
    async with world.serving() as house:
        first = await house.create(budget=Budget(trials=1))
        ended = await house.ended(NAME)
        world.cluster.resize(())
        anew = replace(first, spec=replace(first.spec, seed=2))
        answers = await soon(
            asyncio.gather(
                *(house.loop.request(DeleteStudy(NAME), "", "") for _ in range(2)),
                house.loop.request(StopStudy(NAME), "", ""),
                house.loop.request(CreateStudy(anew), "", ""),
                house.loop.request(DeleteStudy(NAME), "", ""),
                return_exceptions=True,
            )
        )
        assert answers[0] == ended
        assert [type(answer) for answer in answers[1:3]] == [StudyNotFound, StudyNotFound]
        assert answers[3] == anew
        assert isinstance(answers[4], StudyActive)
        assert world.store.study(NAME).spec.seed == 2
    assert sum(isinstance(event.fact, StudyDeleted) for event in world.store.events(0, NAME, 1000)) == 1


@pytest.mark.parametrize("request_id", ["r1", ""])
async def test_creation_that_was_written_though_its_caller_was_told_otherwise(request_id: str) -> None:
    """Repeated with its request_id or without, it gives the study that was created; and it is there only once."""
    world = World(nodes=[])
    async with world.serving() as house:
        commit = world.store.commit

        def written_but_lost(facts: Sequence[Fact], at: datetime) -> int:
            world.store.commit = commit  # type: ignore[method-assign]
            commit(facts, at)
            raise StoreUnavailable("the connection broke")

        world.store.commit = written_but_lost  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable, match="the connection broke"):
            await house.create(request_id=request_id, seed=1)
        written = world.store.study(NAME)
        assert (await soon(house.create(request_id=request_id, seed=1))).created_at == written.created_at
        with pytest.raises(StudyExists):
            await house.create(seed=2)
        events = world.store.events(0, NAME, 1000)
        assert sum(isinstance(event.fact, StudyPut) for event in events) == 1
        assert [trial.number for trial in world.store.trials(NAME, None, 0, 10)] == [1]


async def test_answers_have_the_counts_as_of_the_last_commit() -> None:
    """A study that is answered to a caller, or shown as it stops, never goes back behind what was seen of it."""
    world = World()
    async with world.serving() as house:
        await house.create(scheduler=Scheduler(SchedulerAlgorithm.NONE), budget=Budget(trials=100_000))
        await house.until(lambda: world.store.study(NAME).progress.epochs > 10)
        again = await house.create(scheduler=Scheduler(SchedulerAlgorithm.NONE), budget=Budget(trials=100_000))
        stopped = await house.studies.stop(NAME, request_id="", digest="")
        assert 10 < again.progress.epochs <= stopped.progress.epochs
        puts = [e.fact.study for e in world.store.events(0, NAME, 10**6) if isinstance(e.fact, StudyPut)]
        assert [study.progress.epochs for study in puts if study.state is StudyState.STOPPING] == [
            stopped.progress.epochs
        ]


async def test_damaged_study_fails_requests_about_it_alone() -> None:
    """Of two requests at once, one about a study that cannot be read, the other is carried out."""
    world = World(nodes=[])
    async with world.serving() as house:
        read = world.store.study

        def damaged(name: StudyName) -> Study:
            if name == NAME:
                raise StoreDamaged(name, "it is torn")
            return read(name)

        world.store.study = damaged  # type: ignore[method-assign]
        torn, whole = await soon(asyncio.gather(house.create(), house.create("b"), return_exceptions=True))
        assert isinstance(torn, StoreDamaged)
        assert isinstance(whole, Study)


async def test_stop_and_delete() -> None:
    """A running study cannot be deleted; it can be stopped, again and again, and then deleted."""
    world = World()
    async with world.serving() as house:
        await house.create(scheduler=Scheduler(SchedulerAlgorithm.NONE), budget=Budget(trials=100_000))
        await house.until(lambda: world.store.study(NAME).state is StudyState.RUNNING)
        with pytest.raises(StudyActive):
            await house.studies.delete(NAME, request_id="", digest="")
        await house.studies.stop(NAME, request_id="", digest="")
        assert (await house.ended(NAME)).state is StudyState.STOPPED
        assert (await house.studies.stop(NAME, request_id="", digest="")).state is StudyState.STOPPED
        await house.studies.delete(NAME, request_id="", digest="")
        with pytest.raises(StudyNotFound):
            await house.studies.stop(NAME, request_id="", digest="")
        assert (await house.create()).state is StudyState.PENDING


async def test_listing_filters_and_pages() -> None:
    """Studies are listed in name order, by state and labels, after a name."""
    world = World(nodes=[])
    async with world.serving() as house:
        for i in range(4):
            await house.create(f"s{i}", labels={"half": str(i % 2)})
        listed = await house.studies.list("default", None, {"half": "1"}, None, 10)
        assert [s.name[-2:] for s in listed] == ["s1", "s3"]
        after = await house.studies.list("default", None, {}, study_name("default", "s1"), 1)
        assert [s.name[-2:] for s in after] == ["s2"]
        ended = frozenset({StudyState.SUCCEEDED})
        assert list(await house.studies.list("default", ended, {}, None, 10)) == []
