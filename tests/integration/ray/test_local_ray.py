"""A local Ray of one's own: started, found again, kept from others, and ended without a trace."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.local import LocalCluster, LocalRay, LocalRaySettings
from searchd.engines.ray.processes import marked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[LocalCluster]:
    """A cluster of its own, since it is killed in the end."""
    ray = LocalRay(LocalRaySettings(folder, num_cpus=2))
    yield ray.start()
    ray.stop()


def processes_of(folder: Path) -> list[psutil.Process]:
    """All processes of the cluster that is noted in the folder."""
    return marked("SEARCHD_LOCAL_RAY", temp_dir_of(folder))


def temp_dir_of(folder: Path) -> str:
    """The temporary folder of the cluster that is noted in the folder."""
    content = (folder / "ray.json").read_text()
    return content.split('"temp_dir": "')[1].split('"')[0]


def gcs_of(folder: Path) -> psutil.Process:
    """The process of the control service."""
    return next(process for process in processes_of(folder) if process.name() == "gcs_server")


def asked(address: str, token: str | None) -> grpc.StatusCode:
    """What the control service answers to a question for its nodes."""
    metadata = (("authorization", f"Bearer {token}"),) if token is not None else ()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo", bytes, bytes)
        try:
            call(b"", metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_later_start_finds_the_cluster(started: LocalCluster, folder: Path) -> None:
    """Starting again with the same folder, as a server after a crash does, adopts the cluster that lives."""
    again = LocalRay(LocalRaySettings(folder, num_cpus=2)).start()
    assert not started.adopted
    assert again.adopted
    assert (again.address, again.environment) == (started.address, started.environment)


def test_nobody_else_gets_in(started: LocalCluster, folder: Path) -> None:
    """The control service demands the token, which like all files of the cluster only its owner can read."""
    token = folder / "ray.token"
    assert asked(started.address, token.read_text()) is grpc.StatusCode.OK
    assert asked(started.address, "0" * 64) is grpc.StatusCode.UNAUTHENTICATED
    assert asked(started.address, None) is grpc.StatusCode.UNAUTHENTICATED
    private = [token, folder / "ray.json", Path(temp_dir_of(folder))]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_only_this_machine_can_connect(started: LocalCluster, folder: Path) -> None:
    """Everything that the cluster listens on is on the loopback interface."""
    listening = [
        connection.laddr.ip
        for process in processes_of(folder)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_processes_lead_their_own_session(started: LocalCluster, folder: Path) -> None:
    """No signal of a terminal reaches the cluster: it has left this process's session."""
    assert all(os.getsid(process.pid) != os.getsid(0) for process in processes_of(folder))


def test_a_later_start_replaces_what_is_left(started: LocalCluster, folder: Path) -> None:
    """When the control service is gone, starting again ends what is left of the cluster and gives another one."""
    old, left = temp_dir_of(folder), processes_of(folder)
    gcs = gcs_of(folder)
    gcs.kill()
    _await_end([gcs])
    anew = LocalRay(LocalRaySettings(folder, num_cpus=2)).start()
    assert not anew.adopted
    assert asked(anew.address, (folder / "ray.token").read_text()) is grpc.StatusCode.OK
    assert not Path(old).exists()
    _await_end(left)


def _await_end(processes: Sequence[psutil.Process]) -> None:
    """A process that was killed may live on for a moment."""
    deadline = time.monotonic() + 20
    while any(_lives(process) for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_stopping_leaves_nothing(started: LocalCluster, folder: Path) -> None:
    """Stopping ends every process of the cluster and removes its files; stopping again does nothing."""
    temp_dir = temp_dir_of(folder)
    assert processes_of(folder)
    LocalRay(LocalRaySettings(folder)).stop()
    LocalRay(LocalRaySettings(folder)).stop()
    assert not marked("SEARCHD_LOCAL_RAY", temp_dir)
    assert not Path(temp_dir).exists()
    assert list(folder.iterdir()) == []
    assert LocalRay(LocalRaySettings(folder)).find() is None


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    """A Ray that does not start is an error with Ray's last words, and nothing of it remains."""
    with pytest.raises(RayUnavailable, match=r"ray start.*must be nonnegative"):
        LocalRay(LocalRaySettings(tmp_path, num_cpus=-1)).start()
    assert list(tmp_path.iterdir()) == []
