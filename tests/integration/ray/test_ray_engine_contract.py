"""The Ray engine keeps the engine contract, on a real local cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from searchd.engines.ray.local import LocalCluster
from tests.contracts.engine import EngineContract
from tests.integration.ray.ray_harness import RayHarness, Running


class TestRayEngine(EngineContract):
    """On the local cluster that all integration tests share."""

    @pytest.fixture
    def harness(self, local_ray: LocalCluster, ray_environment: None, tmp_path: Path) -> Iterator[RayHarness]:
        """A namespace of its own on the cluster."""
        harness = RayHarness(Running(local_ray), tmp_path)
        yield harness
        harness.detach(leave_workers=False)
