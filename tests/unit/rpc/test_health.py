"""Health: what serves, what does not, and that watchers hear of it."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from searchd.domain.errors import NotLeader, SearchdError, StoreFull
from searchd.rpc.health import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Mood:
    """Why changes are refused."""

    refusal: SearchdError | None = None


def health(mood: Mood) -> Health:
    """A server of one service that writes and one that reads."""
    made = Health(["Writing", "Reading"], "Writing", lambda: mood.refusal)
    made.set_serving(True)
    return made


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (None, [SERVING, SERVING, SERVING]),
        (StoreFull("no room"), [NOT_SERVING, NOT_SERVING, SERVING]),
        (NotLeader("there:1"), [SERVING, NOT_SERVING, SERVING]),
    ],
)
async def test_each_service_says_whether_it_serves(refusal: SearchdError | None, expected: list[int]) -> None:
    """With a store that takes no writes the server is not well, but reads go on; a standby is well and only reads."""
    mood = Mood()
    mood.refusal = refusal
    tested = health(mood)
    names = ("", "Writing", "Reading")
    found = [await tested.check(health_pb2.HealthCheckRequest(service=name)) for name in names]
    assert [answer.status for answer in found] == expected
    assert dict((await tested.list(health_pb2.HealthListRequest())).statuses) == dict(zip(names, found, strict=True))


async def test_a_server_that_leaves_serves_nothing() -> None:
    """When it leaves, no service serves."""
    tested = health(Mood())
    tested.set_serving(False)
    listed = await tested.list(health_pb2.HealthListRequest())
    assert {answer.status for answer in listed.statuses.values()} == {NOT_SERVING}


async def test_watchers_hear_of_a_full_disk_and_of_its_end() -> None:
    """A health watch sees the status change although nobody tells it."""
    mood = Mood()
    watching = health(mood).watch(health_pb2.HealthCheckRequest(service="Writing"))
    async with asyncio.timeout(20):
        assert (await anext(watching)).status == SERVING
        mood.refusal = StoreFull("no room")
        assert (await anext(watching)).status == NOT_SERVING
        mood.refusal = None
        assert (await anext(watching)).status == SERVING
