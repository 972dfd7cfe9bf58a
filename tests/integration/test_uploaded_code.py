"""Code that callers send with their studies, over gRPC."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from searchd.client import Client, Study
from searchd.domain.code import CodeId, SourceFile, code_id
from searchd.domain.errors import CodeNotFound, CodeRefused, InvalidArgument, InvalidStudy, StudyExists
from searchd.rpc.server import RpcSettings
from searchd.service.system import Limits
from searchd.v1.system_service_pb2 import GetClusterRequest
from searchd.v1.trainable_service_pb2 import SourceFile as Message
from searchd.v1.trainable_service_pb2 import UploadCodeRequest
from searchd.worker.code_catalog import LATELY, CodeCatalog
from searchd.worker.code_folder import CodeFolders
from tests.unit.rpc.rpc_house import House, Site, house, refused

NET = """\
from searchd.trainable import loguniform, trainable


@trainable(metrics={{"accuracy": "maximize"}}, space={{"lr": loguniform(1e-3, {high})}})
def my_net(ctx):
    yield {{"accuracy": 1.0}}
"""
STUDY = {"trainable": "my_net", "search": {"algorithm": "random"}, "budget": {"trials": 2}}


class CountedCode(CodeCatalog):
    """Counts what it is sent."""

    added = 0

    def add(self, files: Sequence[SourceFile]) -> CodeId:
        self.added += 1
        return super().add(files)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def code(tmp_path: Path, site: Site) -> CountedCode:
    return CountedCode(tmp_path / "storage", site.clock)


@pytest.fixture
async def here(site: Site, code: CountedCode) -> AsyncIterator[House]:
    async with house(RpcSettings("127.0.0.1:0"), Limits(), site=site, code=code) as here:
        yield here


def write(folder: Path, high: float = 0.1) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "net.py").write_text(NET.format(high=high))
    return folder


def run_study(house: House, folder: Path, study_id: str = "mine") -> Study:
    """Send a study with its code, and wait until it has ended."""
    with Client(f"127.0.0.1:{house.port}") as client:
        return client.create_study(STUDY, study_id=study_id, code=folder).wait(progress=False)


async def test_a_study_trains_what_it_was_sent_with(here: House, tmp_path: Path) -> None:
    """Two versions of one trainable live side by side: each study has the space of its own, its id, and its workers."""
    folder = write(tmp_path / "mine")
    first = await asyncio.to_thread(run_study, here, folder, "first")
    write(folder, high=0.5)
    second = await asyncio.to_thread(run_study, here, folder, "second")
    for study, high in ((first, 0.1), (second, 0.5)):
        assert study.reason == ""
        sent = (SourceFile("net.py", NET.format(high=high).encode()),)
        assert study.message.code_id == code_id(sent)
        assert f"code_id: {code_id(sent)}" in study.to_file().replace('"', "")
        assert f"loguniform: [0.001, {high}]" in study.to_file()
    pools = (await here.system.GetCluster(GetClusterRequest())).pools
    assert len(pools) == 2


async def test_known_code_is_not_sent_again(here: House, tmp_path: Path, code: CountedCode) -> None:
    """The second study with the same code costs one request, and none is needed to repeat a study."""
    folder = write(tmp_path / "mine")
    for name in ("first", "second", "second"):
        await asyncio.to_thread(run_study, here, folder, name)
    assert code.added == 1


async def test_another_version_under_the_same_name_is_refused(here: House, tmp_path: Path) -> None:
    """A study that exists with other code is not quietly taken for the same."""
    folder = write(tmp_path / "mine")
    await asyncio.to_thread(run_study, here, folder)
    with pytest.raises(StudyExists) as caught:
        await asyncio.to_thread(run_study, here, write(folder, high=0.5))
    assert "code_id" in caught.value.differing


async def test_mistakes_are_told_where_they_are_made(here: House, tmp_path: Path) -> None:
    """What cannot be imported, an unknown trainable and something that is no id are errors of the study."""
    folder = write(tmp_path / "mine")
    (folder / "net.py").write_text("from searchd.trainable import trainable\n\nboom\n")
    with pytest.raises(InvalidArgument, match=r"net\.py: NameError: .* \(net\.py:3\)"):
        await asyncio.to_thread(run_study, here, folder)
    with Client(f"127.0.0.1:{here.port}") as client:
        write(folder)
        with pytest.raises(InvalidStudy, match="did you mean 'my_net'"):
            await asyncio.to_thread(lambda: client.create_study({**STUDY, "trainable": "my_nett"}, code=folder))
        with pytest.raises(InvalidStudy, match=r"code_id: '\.\./\.\./x' is no id"):
            await asyncio.to_thread(lambda: client.create_study({**STUDY, "trainable": "net", "code_id": "../../x"}))
        with pytest.raises(CodeNotFound):
            await asyncio.to_thread(lambda: client.create_study({**STUDY, "code_id": "0" * 64}))


async def test_hostile_uploads_are_refused(here: House, tmp_path: Path) -> None:
    """A path that leads out of the folder, and a request without files, are invalid arguments; nothing is written."""
    for files in ([Message(path="../../escaped.py", content=b"")], []):
        error, info = await refused(here.trainables.UploadCode(UploadCodeRequest(files=files)))
        assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert not (tmp_path / "storage").exists()


async def test_code_goes_with_its_last_study(here: House, tmp_path: Path) -> None:
    """Deleting a study deletes code that no other study names, except what somebody has just used."""
    folders = CodeFolders(tmp_path / "storage")
    folder = write(tmp_path / "mine")
    for name in ("first", "second"):
        await asyncio.to_thread(run_study, here, folder, name)
    here.site.clock.advance_to(here.site.clock.now() + LATELY + timedelta(seconds=1))
    left = []
    with Client(f"127.0.0.1:{here.port}") as client:
        for name in ("first", "second"):
            await asyncio.to_thread(client.study(name).delete)
            left.append(len(folders.ids()))
    assert left == [1, 0]


async def test_a_server_may_take_no_code(tmp_path: Path) -> None:
    """Where it is switched off, sending code and naming some are refused, and the message says how to go on."""
    folder = write(tmp_path / "mine")
    async with house(RpcSettings("127.0.0.1:0"), Limits()) as here:
        with pytest.raises(CodeRefused, match="--no-code"):
            await asyncio.to_thread(run_study, here, folder)
        _, info = await refused(here.trainables.UploadCode(UploadCodeRequest(files=[Message(path="a.py")])))
        assert info.reason == "CODE_REFUSED"
