"""Servers for acceptance tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Server


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not harm it."""
    server = Server(tmp_path_factory.mktemp("shared"), ("--data-root", str(tmp_path_factory.getbasetemp()))).start()
    yield server
    server.down()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers of a test's own, and ends them."""
    made: list[Server] = []

    def make(*options: str) -> Server:
        server = Server(tmp_path, options)
        made.append(server)
        return server

    yield make
    for server in made:
        server.down()
