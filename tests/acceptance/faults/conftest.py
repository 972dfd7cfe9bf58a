"""Houses for faults."""

from collections.abc import Iterator

import pytest

from tests.acceptance.faults.house import House


@pytest.fixture(scope="package")
def shared_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all faults; where Ray is what is harmed, the server starts another."""
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def house(shared_house: House) -> House:
    """The shared house, with a server that serves."""
    if not shared_house.alive:
        shared_house.start()
    return shared_house
