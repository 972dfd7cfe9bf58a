"""The API under abuse: any calls in any order, over gRPC, against a model of what callers are promised."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

import grpc
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from searchd.domain.facts import Event, StudyDeleted, StudyPut
from searchd.domain.study import StudyName
from searchd.rpc.server import RpcSettings
from searchd.service.loop import LoopSettings
from searchd.service.system import Limits
from searchd.stores.connections import SqlSettings
from searchd.v1 import leaderboard_service_pb2, trial_service_pb2
from searchd.v1.study_service_pb2 import (
    CreateStudyRequest,
    GetStudyRequest,
    ListStudiesRequest,
    WatchStudyRequest,
    WatchStudyResponse,
)
from searchd.wire import codec
from tests.unit.rpc.api_calls import (
    PROJECT,
    called,
    creations,
    definition_of,
    deletions,
    mutations,
    names,
    outcome_of,
    pages,
    refusal,
    request_ids,
    stops,
)
from tests.unit.rpc.api_model import Life, Model, Mutation, Outcome, in_some_order
from tests.unit.rpc.faulty_stores import Faults, FaultyMemoryStore, FaultySqlStore, FaultyStore
from tests.unit.rpc.rpc_house import House, Site, house

T = TypeVar("T")

HAPPENS = (
    *("OK", "REQUEST_REUSED", "STUDY_EXISTS", "STUDY_ACTIVE", "STUDY_NOT_FOUND", "INVALID_STUDY", "INVALID_ARGUMENT"),
    *("before", "after", "full", "at once", "finished", "restarted", "expired", "shown"),
)
"""What a run must have come across to mean anything."""
DURABLY = ("OK", "before", "after", "full", "at once", "finished", "restarted", "shown")
"""What a run on a durable store must."""


class Machine(RuleBasedStateMachine):
    """Calls the API of a server whose virtual time stands still between calls."""

    happened: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.running = contextlib.AsyncExitStack()
        self.faults = Faults()
        self.model = Model()
        self.asked: list[Mutation] = []
        self.trimmed = 0
        self.revision = 0

    def opened(self) -> FaultyStore:
        """The store, as a server that starts opens it."""
        raise NotImplementedError

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something to its end."""
        return self.runner.run(asyncio.wait_for(work, 20))

    @initialize()
    def begin(self) -> None:
        """A study that has ended, one that has not, and a name that is free."""
        self.site = Site(self.opened())
        self.do(self._start())
        for study_id in ("a", "b"):
            self._decided(CreateStudyRequest(study_id=study_id, study=definition_of(1), request_id=study_id))
            if study_id == "a":
                self.finish(PROJECT + study_id)

    def teardown(self) -> None:
        self.do(self.running.aclose())
        self.site.store.close()
        self.runner.close()

    async def _start(self) -> None:
        turns = LoopSettings(retry=timedelta(milliseconds=5))
        place = RpcSettings("127.0.0.1:0")
        site = house(place, Limits(), site=self.site, turns=turns, quiet=timedelta(milliseconds=10))
        self.house: House = await self.running.enter_async_context(site)
        self.house.going.clear()

    # Mutations

    async def _called(self, request: Mutation) -> Outcome:
        return await outcome_of(called(self.house.studies, request))

    def _decided(self, request: Mutation) -> None:
        self.asked.append(request)
        outcome = self.do(self._called(request))
        self.happened[outcome.reason or outcome.code] += 1
        self.model.decided(request, outcome)

    @rule(request=creations)
    def create(self, request: CreateStudyRequest) -> None:
        self._decided(request)

    @rule(request=st.one_of(stops, deletions))
    def change(self, request: Mutation) -> None:
        self._decided(request)

    @rule(which=st.integers(0, 30))
    def repeat(self, which: int) -> None:
        if self.asked:
            self._decided(self.asked[which % len(self.asked)])

    @rule(requests=st.lists(mutations, min_size=2, max_size=3), request_id=request_ids, alike=st.booleans())
    def at_once(self, requests: list[Mutation], request_id: str, alike: bool) -> None:
        """What happens at the same moment happens in some order."""
        requests = [requests[0]] * len(requests) if alike else requests
        for request in requests:
            checked = (
                isinstance(request, CreateStudyRequest) and request.validate_only
            )  # looks twice, and changes nothing
            request.request_id = "" if checked else request_id or request.request_id
        self.asked += requests

        async def all_of_them() -> Sequence[Outcome]:
            return await asyncio.gather(*map(self._called, requests))

        outcomes = self.do(all_of_them())
        self.model = in_some_order(self.model, requests, outcomes)
        self.happened["at once"] += 1

    @rule(request=mutations, when=st.sampled_from(("before", "after")))
    def broken(self, request: Mutation, when: str) -> None:
        """A commit fails: whether it was written or not, its caller is told to try again."""
        self.asked.append(request)
        self.faults.next, fired = when, self.faults.fired
        outcome = self.do(self._called(request))
        self.faults.next = ""
        if self.faults.fired == fired:
            self.model.decided(request, outcome)
            return
        self.happened[when] += 1
        assert (outcome.code, outcome.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        if when == "after":
            self.model.written_unheard(request)

    @rule(requests=st.lists(mutations, min_size=1, max_size=3))
    def full(self, requests: list[Mutation]) -> None:
        """While nothing can be written, callers are told so, and nothing changes."""
        self.faults.full = True
        for request in requests:
            outcome = self.do(self._called(request))
            if outcome.reason != "STORE_FULL":
                self.model.decided(request, outcome)
            else:
                self.happened["full"] += 1
                assert outcome.code == "RESOURCE_EXHAUSTED"
        self.faults.full = False
        self.do(_until(lambda: self.house.loop.refusal is None))

    # Time

    @rule(milliseconds=st.integers(1, 30))
    def train(self, milliseconds: int) -> None:
        async def some() -> None:
            self.house.going.set()
            await asyncio.sleep(milliseconds / 1000)
            self.house.going.clear()

        self.do(some())

    @rule(name=names)
    def finish(self, name: str) -> None:
        async def until_it_ends() -> None:
            self.house.going.set()
            await _until(lambda: self.site.store.study(StudyName(name)).state.ended)
            self.house.going.clear()

        if name in self.model.lives:
            self.do(until_it_ends())
            self.happened["finished"] += 1
            self.get(name)

    @rule(truly=st.sampled_from((False, False, True)))
    def restart(self, truly: bool) -> None:
        async def another() -> None:
            await self.running.aclose()
            self.site.store.close()
            self.site.store = self.opened()
            await self._start()

        if truly:
            self.do(another())
            self.happened["restarted"] += 1

    @rule(keep=st.integers(0, 40))
    def trim(self, keep: int) -> None:
        self.site.store.trim_events(keep)
        self.trimmed = max(self.trimmed, self.site.store.revision() - keep)

    # Reads

    @rule(name=names)
    def get(self, name: str) -> None:
        outcome = self.do(outcome_of(self.house.studies.GetStudy(GetStudyRequest(name=name))))
        life = self.model.lives.get(name)
        assert outcome.code == ("NOT_FOUND" if life is None else "OK")
        if life is not None and outcome.answer is not None:
            life.seen(outcome.answer.study)  # type: ignore[attr-defined]

    @rule(name=names, size=st.integers(1, 5))
    def contents(self, name: str, size: int) -> None:
        """Trials and measurements, a page at a time; the leaderboard and the best."""
        life = self.model.lives.get(name)
        board, trials = self.house.leaderboards, self.house.trials
        best = self.do(outcome_of(board.GetBestConfig(leaderboard_service_pb2.GetBestConfigRequest(name=name))))
        ranking = leaderboard_service_pb2.GetLeaderboardRequest(parent=name, top=2)
        ranked = self.do(outcome_of(board.GetLeaderboard(ranking)))
        request = trial_service_pb2.ListTrialsRequest(parent=name, page_size=size)
        found = self.do(pages(trials.ListTrials, request, "trials"))
        asking = trial_service_pb2.ListMeasurementsRequest(parent=name, page_size=size)
        measured = self.do(pages(trials.ListMeasurements, asking, "measurements"))
        if life is None or isinstance(found, Outcome) or isinstance(measured, Outcome):
            assert life is None
            assert {found, measured} == {Outcome("NOT_FOUND", "STUDY_NOT_FOUND")}
            assert (best.code, ranked.code) == ("NOT_FOUND", "NOT_FOUND")
            return
        life.saw_trials(found)
        life.saw_measurements(measured)
        assert best.code in ("OK", "FAILED_PRECONDITION")
        assert best.code == "OK" or not any(trial.rung_scores for trial in found)
        assert ranked.code == "OK"

    @rule(size=st.integers(1, 4), team=st.sampled_from(("red", "blue")))
    def listing(self, size: int, team: str) -> None:
        """All pages together hold what there is, each once and in order, filtered as asked."""
        request = ListStudiesRequest(page_size=size, filter=f"labels.team={team}")
        found = self.do(pages(self.house.studies.ListStudies, request, "studies"))
        assert not isinstance(found, Outcome)
        of_team = [name for name, life in self.model.lives.items() if ("red" if life.seed % 2 else "blue") == team]
        assert [study.name for study in found] == sorted(of_team)
        for study in found:
            self.model.lives[study.name].seen(study)

    @rule(name=names, where=st.integers(0, 20))
    def watch(self, name: str, where: int) -> None:
        """From any revision on a watch shows what the log holds, or says why it cannot."""
        life = self.model.lives.get(name)
        newest = self.site.store.revision()
        known = sorted(life.events) if life is not None else []
        places = [0, self.trimmed, newest, newest + 1, -1, *known]
        after = places[where % len(places)]
        received, outcome = self.do(self._watched(name, after))
        if after < 0 or (life is not None and after > newest):
            assert (outcome.code, outcome.reason, received) == ("INVALID_ARGUMENT", "INVALID_ARGUMENT", [])
        elif life is None:
            assert (outcome.code, received) == ("NOT_FOUND", [])
        elif after < self.trimmed:
            assert (outcome.code, outcome.reason, received) == ("OUT_OF_RANGE", "REVISION_EXPIRED", [])
            self.happened["expired"] += 1
        else:
            assert outcome.code == "OK"
            self._compare(life, StudyName(name), after, received)

    def _compare(self, life: Life, name: StudyName, after: int, received: list[WatchStudyResponse]) -> None:
        upto = received[-1].revision if received else after
        shown = [response for response in received if response.WhichOneof("event") != "bookmark"]
        stored = [event for event in self.site.store.events(after, name, 10**6) if event.revision <= upto]
        fixed = self.site.store.study(name).spec.fixed
        expected = [codec.encode_event(event, fixed) for event in _until_its_end(stored, after)]
        assert shown == expected
        self.happened["shown"] += len(shown)
        if any(response.WhichOneof("event") == "deleted" for response in shown):
            return  # of an earlier study of that name
        for response in shown:
            life.saw_event(response)
        assert {r for r in life.events if after < r <= upto} == {response.revision for response in shown}

    async def _watched(self, name: str, after: int) -> tuple[list[WatchStudyResponse], Outcome]:
        """What a watch shows until its end or its first bookmark."""
        received: list[WatchStudyResponse] = []
        call = self.house.studies.WatchStudy(WatchStudyRequest(name=name, after_revision=after))
        try:
            async for response in call:
                received.append(response)
                if response.WhichOneof("event") == "bookmark":
                    break
        except grpc.aio.AioRpcError as error:
            return received, refusal(error)
        finally:
            call.cancel()
        return received, Outcome("OK")

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        """Whatever was acknowledged is visible, nothing else is, and revisions grow."""
        if not hasattr(self, "house"):
            return
        listed = self.do(self.house.studies.ListStudies(ListStudiesRequest()))
        self.model.listed([study.name for study in listed.studies])
        for study in listed.studies:
            self.model.lives[study.name].seen(study)
        revision = self.site.store.revision()
        assert revision >= self.revision
        self.revision = revision


def _until_its_end(events: list[Event], after: int) -> Iterator[Event]:
    for event in events:
        if isinstance(event.fact, StudyDeleted) and not after:
            continue
        yield event
        if isinstance(event.fact, StudyDeleted) or (isinstance(event.fact, StudyPut) and event.fact.study.state.ended):
            return


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.002)


class InMemory(Machine):
    """On the memory store."""

    def __init__(self) -> None:
        super().__init__()
        self.first = FaultyMemoryStore()
        self.first.faults = self.faults

    def opened(self) -> FaultyStore:
        return self.first.opened_again()


class OnSqlite(Machine):
    """On SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()

    def opened(self) -> FaultyStore:
        store = FaultySqlStore(SqlSettings(f"sqlite:///{Path(self.folder.name) / 'searchd.db'}"))
        store.faults = self.faults
        return store

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


def _run(machine: type[Machine], examples: int) -> None:
    machine.happened.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # threads make runs differ, which shrinking cannot stand
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_api_keeps_its_promises_in_memory() -> None:
    """Whatever callers do, in whatever order, what they are told is true and stays so."""
    _run(InMemory, 40)
    assert min(InMemory.happened[what] for what in HAPPENS) > 0


def test_api_keeps_its_promises_on_sqlite() -> None:
    """The same holds on the durable store, closed and opened again in between."""
    _run(OnSqlite, 15)
    assert min(OnSqlite.happened[what] for what in DURABLY) > 0
