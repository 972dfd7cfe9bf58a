"""All stores do the same."""

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from searchd.stores.memory import MemoryStore
from searchd.stores.sql import open_sql_store
from tests.contracts.store_machine import Open, StoreMachine
from tests.postgres import PostgresServer


def test_all_stores_do_what_the_model_does(postgres: PostgresServer, tmp_path: Path) -> None:
    """Whatever two servers do, in whatever order, stores in memory, SQLite and PostgreSQL agree with the model."""
    numbers = itertools.count()

    class Machine(StoreMachine):
        def new_stores(self) -> Sequence[Open]:
            self.database = postgres.create()
            return [
                MemoryStore().opened_again,
                partial(open_sql_store, f"sqlite:///{tmp_path}/{next(numbers)}.db"),
                partial(open_sql_store, postgres.url(self.database)),
            ]

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                postgres.drop(self.database)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            derandomize=True,
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            # A failure is told at once, as it was met: making it smaller takes longer than a test may.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
