"""What integration tests share: one local Ray for the whole run."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from searchd.engines.ray.local import LocalCluster, LocalRay, LocalRaySettings

pytest.register_assert_rewrite("tests.contracts", "tests.integration.ray.ray_harness")


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A local Ray of four CPUs and one GPU that is not there; ended with the test run."""
    ray = LocalRay(LocalRaySettings(tmp_path_factory.mktemp("ray"), num_cpus=4, num_gpus=1))
    try:
        yield ray.start()
    finally:
        ray.stop()


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
