"""What integration tests share: one local Ray and one PostgreSQL for the whole run."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from searchd.engines.ray.local import LocalCluster, LocalRay, LocalRaySettings
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A local Ray of four CPUs and one GPU that is not there; ended with the test run."""
    ray = LocalRay(LocalRaySettings(tmp_path_factory.mktemp("ray"), num_cpus=4, num_gpus=1))
    try:
        yield ray.start()
    finally:
        ray.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; without one a laptop skips what needs it, and CI fails."""
    try:
        server = PostgresServer()
        server.start()
    except (ImportError, OSError, RuntimeError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"there is no PostgreSQL: {error}")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """URL of a new, empty database in PostgreSQL."""
    database = postgres.create()
    yield postgres.url(database)
    postgres.drop(database)


@pytest.fixture
def ray_environment() -> Iterator[None]:
    """Puts this process's environment back, so that a test's cluster does not become everybody's."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    if "ray" in sys.modules:
        from ray import _raylet

        raylet: Any = _raylet
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()
