"""The commands that extend a study and feed it, against a whole server in this process."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.rpc.server import RpcSettings
from searchd.service.system import Limits
from searchd.v1.study_service_pb2 import CreateStudyRequest, StopStudyRequest, WatchStudyRequest
from tests.unit.rpc.rpc_house import House, definition, house

NAME = "projects/default/studies/one"


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A server with a study of six trials, during which time stands still."""
    async with house(RpcSettings("127.0.0.1:0"), Limits()) as here:
        monkeypatch.setenv("SEARCHD_ADDRESS", f"127.0.0.1:{here.port}")
        here.going.clear()
        study = definition("trainable: net\nsearch: {algorithm: random}\nbudget: {trials: 6, slots: 1}")
        await here.studies.CreateStudy(CreateStudyRequest(study_id="one", study=study))
        yield here


async def run(*arguments: str) -> Result:
    """The command's end, while the server goes on."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def ended(here: House) -> None:
    """Let time pass until the study has ended."""
    here.going.set()
    async for _ in here.studies.WatchStudy(WatchStudyRequest(name=NAME)):
        pass
    here.going.clear()


async def refused(*arguments: str, code: int = 2) -> list[str]:
    """What a command says that changes nothing."""
    result = await run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    return result.stderr.splitlines()


async def test_extend_says_what_the_study_has_now(here: House) -> None:
    """A line with name, state and trials in all, or the whole study as JSON; of one to start and of an ended one."""
    assert (await run("extend", "one", "--trials", "9")).stdout == f"{NAME} PENDING: 9 trials\n"
    await ended(here)
    again = await run("extend", NAME, "--trials", "12", "-o", "json")
    study = json.loads(again.stdout)
    assert (study["name"], study["state"], study["budget"]["trials"]) == (NAME, "STUDY_STATE_RUNNING", 12)


@pytest.mark.parametrize("trials", ["6", "2"])
@pytest.mark.parametrize("over", [False, True])
async def test_extend_to_no_more_changes_nothing(here: House, trials: str, over: bool) -> None:
    """As many trials as there are, or fewer, is refused with their number, whether or not the study has ended."""
    if over:
        await ended(here)
    assert await refused("extend", "one", "--trials", trials) == [
        f"budget.trials: {trials} is not more than the 6 that the study has; use more: they are counted from its first"
    ]
    assert json.loads((await run("show", "one", "-o", "json")).stdout)["budget"]["trials"] == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trials", "0"], "--trials"),
        (["--trials", "many"], "--trials"),
        ([], "--trials"),
        (["--trials", "9999999999"], "budget.trials: 9999999999 is out of range"),
        (["--trials", "9", "-o", "yaml"], "--output"),
    ],
)
async def test_extend_by_what_is_no_number_of_trials(here: House, arguments: list[str], said: str) -> None:
    """A number that is none, is too large or is missing is one line that names the option."""
    (line,) = await refused("extend", "one", *arguments)
    assert said in line


@pytest.mark.parametrize("arguments", [("extend", "two", "--trials", "9"), ("enqueue", "two", "lr=0.01", "width=8")])
async def test_an_unknown_study_is_not_found(here: House, arguments: tuple[str, ...]) -> None:
    """Its full name, and how to see the studies that there are, with exit code 3."""
    assert await refused(*arguments, code=3) == [
        "error: no study 'projects/default/studies/two'; `searchd ls` lists the studies there are"
    ]


async def test_enqueue_prints_the_trial(here: House) -> None:
    """Its number, or the trial as JSON, in which values have the types that a study file would give them."""
    assert (await run("enqueue", "one", "lr=0.01", "width=8")).stdout == "trial 2\n"
    trial = json.loads((await run("enqueue", "one", "lr=1e-3", "width=16", "-o", "json")).stdout)
    assert (trial["number"], trial["origin"]) == (3, "TRIAL_ORIGIN_REQUESTED")
    assert trial["parameters"] == {"lr": 0.001, "width": 16}


async def test_enqueue_outside_the_space(here: House) -> None:
    """Every value that is none of the space is a line with what would be one; so is one too many or too few."""
    assert await refused("enqueue", "one", "lr=7", "depth=1") == [
        "parameters.lr: 7 is outside the space; use a value of loguniform [0.0001, 0.1]",
        "parameters.width: is not set; give it a value of choice [8, 16]",
        "parameters.depth: is no parameter of the study; leave it out",
    ]
    for value in ("adam", ".nan", "'0.01'", "null", "true", "{a: 1}"):
        (line,) = await refused("enqueue", "one", f"lr={value}", "width=8")
        assert line.startswith("parameters.lr: ")
        assert line.endswith("is outside the space; use a value of loguniform [0.0001, 0.1]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lr"], "error: parameter 'lr' is not of the form KEY=VALUE"),
        (["=3"], "error: parameter '=3' is not of the form KEY=VALUE"),
        (["lr=0.01", "lr=0.02"], "error: parameter has 'lr' twice; give it once"),
        (["lr=", "width=8"], "error: parameter lr= has no value; an empty text is '', and nothing is null"),
        (["lr=2020-01-01"], "error: parameter lr=2020-01-01 cannot be read; put quotes around a text"),
        (["lr=["], "error: parameter lr=[ cannot be read; put quotes around a text"),
        (["lr=1\nseed: 3"], "error: parameter lr=1 seed: 3 cannot be read; put quotes around a text"),
        ([], "error: Missing argument 'NAME=VALUE...'; see --help"),
    ],
)
async def test_enqueue_what_is_no_value(here: House, arguments: list[str], said: str) -> None:
    """What cannot be read is one line that shows it, and no trial is made."""
    assert await refused("enqueue", "one", *arguments) == [said]
    assert (await run("enqueue", "one", "lr=0.01", "width=8")).stdout == "trial 2\n"


async def test_enqueue_needs_room_in_the_budget(here: House) -> None:
    """With all trials given away, and in a study that has ended, the line says how to make room, with exit code 4."""
    room = f"searchd extend {NAME} --trials N"
    for number in range(2, 7):
        assert (await run("enqueue", "one", f"lr=0.0{number}", "width=8")).stdout == f"trial {number}\n"
    full = await refused("enqueue", "one", "lr=0.01", "width=8", code=4)
    assert full == [f"error: all 6 trials of {NAME} are given away; {room}"]
    await ended(here)
    over = await refused("enqueue", "one", "lr=0.01", "width=8", code=4)
    assert over == [f"error: {NAME} is succeeded; give it a larger budget first: {room}"]
    assert (await run("extend", "one", "--trials", "9")).exit_code == 0
    assert (await run("enqueue", "one", "lr=0.015", "width=8")).exit_code == 0


async def test_a_stopped_study_can_be_extended(here: House) -> None:
    """A study that its owner stopped takes no configuration until it is extended, and then goes on."""
    await here.studies.StopStudy(StopStudyRequest(name=NAME))
    await ended(here)
    (line,) = await refused("enqueue", "one", "lr=0.01", "width=8", code=4)
    assert f"{NAME} is " in line
    assert (await run("extend", "one", "--trials", "8")).stdout == f"{NAME} PENDING: 8 trials\n"
