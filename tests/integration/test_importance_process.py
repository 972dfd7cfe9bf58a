"""Which parameters matter, found out by a process of its own."""

import asyncio
import random
import subprocess
import sys
from datetime import timedelta

import pytest

from searchd.domain.insight import Sample
from searchd.domain.space import Choice, Float, Integer, Parameter, SearchSpace
from searchd.searchers.importance_process import ImportanceProcess

SPACE = SearchSpace(
    (
        Parameter("idle", Float(0.0, 1.0)),
        Parameter("lr", Float(1e-5, 1.0, log=True)),
        Parameter("width", Integer(1, 65, log=True)),
        Parameter("layers", Choice(([8], [8, 8], None))),
        Parameter("single", Choice(("only",))),
    )
)


def samples() -> list[Sample]:
    """Configurations by chance, of which the learning rate decides nearly everything."""
    chance = random.Random(3)
    drawn = [SPACE.draw([chance.random() for _ in SPACE.parameters]) for _ in range(150)]
    return [Sample(p, -abs(p["lr"] - 1e-3) - 1e-5 * p["width"]) for p in drawn]


async def test_the_parameter_that_decides_matters_most() -> None:
    """Of numbers, log scales, integers and options that are lists, the one that decides stands out; same question, same
    answer."""
    process = ImportanceProcess()
    asked = [process.shares(SPACE, samples(), 0.1) for _ in range(2)]
    found, again = await asyncio.gather(*asked)
    assert found == again
    assert found.keys() == set(SPACE.names())
    assert max(found, key=lambda name: found[name]) == "lr"
    assert found["lr"] > 3 * max(found["idle"], found["layers"])
    assert found["single"] == 0.0


async def test_a_process_that_takes_too_long_is_ended() -> None:
    """The caller hears of it, and nothing is left running."""
    with pytest.raises(TimeoutError):
        await ImportanceProcess(timedelta(milliseconds=50)).shares(SPACE, samples(), 0.1)


async def test_a_caller_who_leaves_ends_the_process() -> None:
    """A question that is cancelled does not go on."""
    asking = asyncio.create_task(ImportanceProcess().shares(SPACE, samples(), 0.1))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_process_that_fails_says_why() -> None:
    """A question that makes no sense is a fault with the last line of what went wrong."""
    with pytest.raises(RuntimeError, match="exit status 1: KeyError"):
        await ImportanceProcess().shares(SPACE, [Sample({}, 1.0)], 0.1)


def test_the_server_does_not_load_the_library() -> None:
    """Only the process imports Optuna: not the one that asks it."""
    code = "import sys, searchd.searchers.importance_process; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
