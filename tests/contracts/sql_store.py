"""What a store in a database promises beyond the port. Subclass it and give a ``url`` fixture of a new database."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from searchd.domain.errors import StoreDamaged, StoreTooNew, StoreUnavailable
from searchd.domain.facts import MeasurementAdded, ProgressPut, RequestAnswered, StudyPut, TrialPut
from searchd.domain.study import Progress, StudyName, study_name
from searchd.domain.trial import TrialNumber
from searchd.ports.store import DamagedStudy, LiveStudy, Store
from searchd.stores.sql import SqlStore, open_sql_store
from searchd.stores.tables import Plain, metadata
from tests.contracts.makers import AT, STUDY, measurement, study, trial
from tests.contracts.store import OTHER, StoreContract
from tests.contracts.stored_values import names

Run = Callable[..., None]

BROKEN = {"cut off": "{", "empty": ""}


class SqlStoreContract(StoreContract):
    """The promises of a store in a database, one test each."""

    @pytest.fixture
    def store(self, opened_again: Callable[[], SqlStore]) -> SqlStore:
        """A new store."""
        return opened_again()

    @pytest.fixture
    def opened_again(self, url: str) -> Iterator[Callable[[], SqlStore]]:
        """Opens the database once more."""
        stores: list[SqlStore] = []

        def opened() -> SqlStore:
            stores.append(open_sql_store(url))
            return stores[-1]

        yield opened
        for store in stores:
            store.close()

    @pytest.fixture
    def engine(self, url: str) -> Iterator[Engine]:
        """The database without the store."""
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        yield engine
        engine.dispose()

    @pytest.fixture
    def run(self, engine: Engine) -> Run:
        """Runs a statement behind the store's back; something must come of it."""

        def run(statement: str, **values: Any) -> None:
            with engine.begin() as connection:
                assert connection.execute(text(statement), values).rowcount

        return run

    # Opening

    def test_reopening_keeps_everything(self, store: Store, opened_again: Callable[[], Store]) -> None:
        """What was committed is there after closing and opening again: state, log, numbering, identity and lease."""
        store.begin_epoch("one", "127.0.0.1:1")
        answer = RequestAnswered("r", "d", study())
        store.commit([StudyPut(study()), TrialPut(trial()), MeasurementAdded(STUDY, measurement()), answer], AT)
        store.trim_events(3)
        live, events, identity, lease = store.live(), store.events(1, None, 10), store.identity(), store.lease()
        store.close()
        again = opened_again()
        assert again.live() == live
        assert again.events(1, None, 10) == events
        assert again.answered("r") is not None
        assert again.identity() == identity
        assert again.lease() == lease
        assert again.begin_epoch() == 2
        assert again.commit([TrialPut(trial(2, scores=(0.5,)))], AT) == 5
        assert again.ranked(STUDY, 1)[0].number == 2

    def test_migrations_lead_to_the_tables(self, store: Store, engine: Engine) -> None:
        """A database made by the migrations has exactly the tables, columns and indexes that the code expects."""
        with engine.connect() as connection:
            options = {"compare_type": _differ, "compare_server_default": True}
            assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []

    def test_newer_schema_is_refused_untouched(self, store: Store, url: str, engine: Engine, run: Run) -> None:
        """A database that a newer searchd wrote raises StoreTooNew with both schemas and is left as it is."""
        store.commit([StudyPut(study()), TrialPut(trial())], AT)
        store.close()
        run("UPDATE alembic_version SET version_num = '9999'")
        before = _contents(engine)
        with pytest.raises(StoreTooNew) as raised:
            open_sql_store(url)
        assert (raised.value.found, raised.value.known) == ("9999", "0003")
        assert _contents(engine) == before

    def test_servers_may_create_at_once(self, url: str) -> None:
        """Stores opened at the same moment on a new database agree on one identity: only one of them creates it."""
        identities: list[str] = []
        barrier = threading.Barrier(4)

        def create() -> None:
            barrier.wait()
            store = open_sql_store(url)
            identities.append(store.identity())
            store.close()

        threads = [threading.Thread(target=create) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(identities) == 4
        assert len(set(identities)) == 1

    # Many at once

    def test_readers_on_other_threads_see_whole_batches(self, store: Store) -> None:
        """Threads that read while another writes see each batch whole or not at all, and are never refused."""
        store.commit([StudyPut(study())], AT)
        done = threading.Event()
        reads: list[int] = []
        failures: list[BaseException] = []

        def read() -> None:
            try:
                while not done.is_set():
                    (live,) = store.live()
                    assert isinstance(live, LiveStudy)
                    assert live.study.progress.epochs == len(live.trials) == len(live.measurements)
                    assert store.revision() >= 1 + 3 * len(live.trials)
                    reads.append(len(live.trials))
            except BaseException as error:
                failures.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for thread in readers:
            thread.start()
        for number in range(1, 101):
            progress = ProgressPut(STUDY, Progress(epochs=number))
            store.commit([progress, TrialPut(trial(number)), MeasurementAdded(STUDY, measurement(number))], AT)
        done.set()
        for thread in readers:
            thread.join()
        assert failures == []
        assert len(set(reads)) > 1

    def test_more_readers_than_connections(self, store: Store) -> None:
        """Many threads may read at once while the writer commits; none waits so long that it fails."""
        store.commit([StudyPut(study()), TrialPut(trial())], AT)
        found: list[int] = []

        def read() -> None:
            found.extend(store.trial(STUDY, TrialNumber(1)).number for _ in range(5))

        threads = [threading.Thread(target=read) for _ in range(40)]
        for thread in threads:
            thread.start()
        store.commit([TrialPut(trial(2))], AT)
        for thread in threads:
            thread.join()
        assert found == [1] * 200

    # What cannot be stored, and what cannot be read

    @pytest.mark.parametrize("place", ["value", "key"])
    def test_unstorable_text_is_refused_whole(self, store: Store, place: str) -> None:
        """Text that is no Unicode cannot be stored: the batch is refused, and the store goes on."""
        fact = TrialPut(trial(log_tail="\ud800")) if place == "value" else RequestAnswered("\ud800", "d", study())
        with pytest.raises(StoreUnavailable):
            store.commit([StudyPut(study()), fact], AT)
        assert store.revision() == 0
        assert store.commit([StudyPut(study()), TrialPut(trial())], AT) == 2

    @pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
    @pytest.mark.parametrize("column", ["spec", "rest", "progress"])
    def test_damaged_study_harms_no_other(self, store: Store, run: Run, column: str, body: str) -> None:
        """Reading a study that cannot be understood says so by name; lists go on without it, and others are whole."""
        made = [study(study_name("default", i)) for i in ("a", "b", "c", "d")]
        store.commit([StudyPut(s) for s in made] + [TrialPut(trial(study=s.name)) for s in made], AT)
        run(f"UPDATE studies SET {column} = :body WHERE name = :name", body=body, name=made[1].name)
        with pytest.raises(StoreDamaged) as raised:
            store.study(made[1].name)
        assert raised.value.what == made[1].name
        assert names(store) == ["a", "c", "d"]
        assert names(store, limit=2) == ["a", "c"]
        assert names(store, limit=1, after=made[0].name) == ["c"]
        assert names(store, states=frozenset({made[0].state}), limit=2, after=made[2].name) == ["d"]
        live = store.live()
        assert isinstance(live[1], DamagedStudy)
        assert live[1] == DamagedStudy(made[1].name, raised.value.reason)
        whole = [LiveStudy(s, (trial(study=s.name),), ()) for s in made]
        assert [*live[:1], *live[2:]] == [whole[0], *whole[2:]]
        assert store.commit([TrialPut(trial(9, study=made[1].name)), TrialPut(trial(9, study=made[2].name))], AT) == 10

    @pytest.mark.parametrize("body", [*BROKEN.values(), '"state"'], ids=[*BROKEN, "state unknown"])
    def test_damaged_trial_is_named(self, store: Store, run: Run, body: str) -> None:
        """Reading a trial that cannot be understood says so by name; its study can be read, and other trials can."""
        store.commit([StudyPut(study()), TrialPut(trial(1)), TrialPut(trial(2, scores=(0.5,)))], AT)
        if body == '"state"':
            run("""UPDATE trials SET body = replace(body, '"running"', '"flying"') WHERE number = 2""")
        else:
            run("UPDATE trials SET body = :body WHERE number = 2", body=body)
        damaged = f"{STUDY}/trials/2"
        reads: list[Callable[[], object]] = [
            lambda: store.trial(STUDY, TrialNumber(2)),
            lambda: store.trials(STUDY, None, 0, 10),
            lambda: store.ranked(STUDY, 10),
        ]
        for read in reads:
            with pytest.raises(StoreDamaged) as raised:
                read()
            assert raised.value.what == damaged
        assert store.study(STUDY) == study()
        assert store.trial(STUDY, TrialNumber(1)) == trial()
        assert list(store.live()) == [DamagedStudy(STUDY, f"{damaged}: {raised.value.reason}")]

    def test_damaged_measurement_names_its_trial(self, store: Store, run: Run) -> None:
        """Reading measurements of which one cannot be understood names its trial, and so does what goes on."""
        store.commit([StudyPut(study()), *(TrialPut(trial(n)) for n in (1, 2))], AT)
        store.commit([MeasurementAdded(STUDY, measurement(n)) for n in (1, 2)], AT)
        run("UPDATE measurements SET body = '{' WHERE trial = 2")
        with pytest.raises(StoreDamaged) as raised:
            store.measurements(STUDY, None, None, 10)
        assert raised.value.what == f"{STUDY}/trials/2"
        assert list(store.measurements(STUDY, TrialNumber(1), None, 10)) == [measurement()]
        assert list(store.live()) == [DamagedStudy(STUDY, f"{STUDY}/trials/2: {raised.value.reason}")]

    @pytest.mark.parametrize("change", ["body = '{'", "kind = 'rumour'"])
    def test_damaged_event_names_its_study(self, store: Store, run: Run, change: str) -> None:
        """Reading events of which one cannot be understood names its study; others' events can be read."""
        store.commit([StudyPut(study()), StudyPut(study(OTHER)), TrialPut(trial())], AT)
        run(f"UPDATE events SET {change} WHERE revision = 3")
        for asked in (None, STUDY):
            with pytest.raises(StoreDamaged) as raised:
                store.events(0, asked, 10)
            assert raised.value.what == STUDY
        assert [e.fact for e in store.events(0, OTHER, 10)] == [StudyPut(study(OTHER))]

    def test_damaged_answer_is_named(self, store: Store, run: Run) -> None:
        """An answer that cannot be understood is no answer that was never given."""
        store.commit([StudyPut(study()), RequestAnswered("r-1", "d", study())], AT)
        run("UPDATE requests SET study = '{'")
        with pytest.raises(StoreDamaged) as raised:
            store.answered("r-1")
        assert raised.value.what == "request 'r-1'"

    def test_damaged_direction_takes_no_trial(self, opened_again: Callable[[], Store], run: Run) -> None:
        """A trial of a study whose direction cannot be understood is not stored with a guessed one."""
        opened_again().commit([StudyPut(study())], AT)
        run("UPDATE studies SET goal = 'sideways'")
        store = opened_again()
        with pytest.raises(StoreDamaged) as raised:
            store.commit([TrialPut(trial())], AT)
        assert raised.value.what == STUDY
        assert store.revision() == 1

    def test_names_sort_by_code_points(self, store: Store) -> None:
        """Studies are listed in the order of their names' code points, also such as no server would give."""
        ids = ["b", "B", "a-b", "ab", "a1", "a", "é", "z", "Ⅷ", "😀", "a\0", "a\1", "a\0b", "a\1\1", "a\2"]
        store.commit([StudyPut(study(study_name("default", i))) for i in ids], AT)
        assert names(store) == sorted(ids)
        paged, after = [], None
        while page := names(store, after=after, limit=2):
            paged += page
            after = StudyName(f"projects/default/studies/{page[-1]}")
        assert paged == sorted(ids)
        assert [e.fact for e in store.events(0, study_name("default", "a\0b"), 9)] != []


def _differ(context: MigrationContext, _inspected: Any, _column: Any, found: Any, expected: Any) -> bool | None:
    """Whether a column has another type than expected; None leaves it to Alembic, which cannot look into ours."""
    if not isinstance(expected, Plain):
        return None
    return bool(found.compile(context.dialect) != expected.load_dialect_impl(context.dialect).compile(context.dialect))


def _contents(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table: sorted(connection.execute(text(f"SELECT * FROM {table}")).all())
            for table in ("alembic_version", *metadata.tables)
        }
