"""A Ray of one's own on this machine, which lives on when the server that started it dies, and is found again."""

import contextlib
import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from searchd.engines.ray.errors import RayUnavailable
from searchd.engines.ray.processes import ProcessRecord, end, marked, records
from searchd.signals import UNHELD

_logger = logging.getLogger(__name__)

_MARK = "SEARCHD_LOCAL_RAY"
"""Environment variable by which every process of the cluster, down to what trainables start, is recognised."""

_START_TIMEOUT_SECONDS = 90
_PATIENCE = timedelta(seconds=1)
_CONNECT_TIMEOUT_SECONDS = 2.0
_RAY = "r"
"""Ray gets a folder inside the private one, since it opens its own to everybody."""

_FOR_DRIVERS = ("RAY_RAYLET_PID", "RAY_gcs_rpc_server_reconnect_timeout_s")
"""What this process has set for its own connection to Ray, and a Ray that it starts must not inherit."""

_RAY_COMMAND = f"{UNHELD}; from ray.scripts.scripts import main; main()"
"""The server holds SIGTERM back from itself; a cluster must be able to take it."""

_DAEMONS = ("gcs_server", "raylet")
"""Without these two there is no cluster; the other processes only help."""


@dataclass(frozen=True, slots=True)
class LocalRaySettings:
    """How to start Ray on this machine.

    Attributes:
        folder: Private folder of the server (its data directory); the cluster is noted there, beside its token.
        num_cpus: CPUs to offer; None offers all.
        num_gpus: GPUs to offer; None offers all.
        object_store_bytes: Size of the object store; workers pass nothing large through it.
    """

    folder: Path
    num_cpus: int | None = None
    num_gpus: int | None = None
    object_store_bytes: int = 200_000_000


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A running local Ray.

    Attributes:
        address: Host and port of its control service, on the loopback interface.
        environment: What a process must have in its environment, before it imports ray, to be let in.
        adopted: Whether it was found running.
    """

    address: str
    environment: Mapping[str, str]
    adopted: bool


@dataclass(frozen=True, slots=True)
class _Note:
    """What is written down: ``daemons`` and ``address`` are empty while the cluster is starting."""

    temp_dir: str
    address: str
    daemons: tuple[ProcessRecord, ...]


class LocalRay:
    """Starts, finds and ends the local Ray of one folder. Not for use by two processes at once."""

    def __init__(self, settings: LocalRaySettings) -> None:
        self._settings = settings
        self._note = settings.folder / "ray.json"
        self._token = settings.folder / "ray.token"

    def find(self) -> LocalCluster | None:
        """The cluster that an earlier process started here, if it lives and answers."""
        note = self._read()
        if note is None or not note.daemons or any(record.find() is None for record in note.daemons):
            return None
        if not self._token.exists() or not answers(note.address):
            return None
        return LocalCluster(note.address, self._environment(), adopted=True)

    def start(self) -> LocalCluster:
        """Adopt the cluster that lives here, or clear its remains away and start one; takes 2 to 5 seconds.

        Raises:
            RayUnavailable: it does not start.
        """
        found = self.find()
        if found is not None:
            return found
        self.stop()
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        self._write_private(self._token, secrets.token_hex(32))
        # The sockets' paths must stay below 107 bytes, which a data directory or a long TMPDIR may not leave room for.
        temp_dir = tempfile.mkdtemp(prefix="searchd-", dir="/tmp")  # made with mode 700
        # Noted before anything starts, so that a start that is cut short can be cleared away.
        self._write(_Note(temp_dir, "", ()))
        try:
            self._run(temp_dir)
            address = (Path(temp_dir) / _RAY / "ray_current_cluster").read_text().strip()
        except (OSError, subprocess.SubprocessError) as error:
            reason = _last_line(error)
            self.stop()
            raise RayUnavailable(
                f"`ray start` failed: {reason}",
                "check the numbers of CPUs and GPUs, and that /tmp and /dev/shm have room, then try again",
            ) from error
        daemons = [process for process in marked(_MARK, temp_dir) if process.name() in _DAEMONS]
        self._write(_Note(temp_dir, address, tuple(records(daemons))))
        return LocalCluster(address, self._environment(), adopted=False)

    def stop(self) -> None:
        """End every process of the cluster and remove its files; nothing happens if there is none."""
        note = self._read()
        if note is None:
            return
        daemons = [process for record in note.daemons if (process := record.find()) is not None]
        end([*daemons, *marked(_MARK, note.temp_dir)], _PATIENCE)
        shutil.rmtree(note.temp_dir, ignore_errors=True)
        self._token.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token.absolute()),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Named for other systems, where Ray keeps to the loopback interface of its own accord. Without it Ray
            # replaces 127.0.0.1 by an outside address and its services listen on all interfaces.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # An actor without GPUs sees those that the machine's owner let it see, none of which Ray may hide.
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }

    def _run(self, temp_dir: str) -> None:
        """Run ``ray start``, in a session of its own so that no Ctrl-C at a terminal reaches what it starts."""
        environment = {**os.environ, **self._environment(), _MARK: temp_dir}
        environment["RAY_START_HOOK"] = "searchd.engines.ray.start_hook.without_client_server"
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", *_FOR_DRIVERS):
            environment.pop(name, None)
        subprocess.run(  # noqa: S603  # Ray's own command
            [sys.executable, "-u", "-c", _RAY_COMMAND, *self._arguments(temp_dir)],
            env=environment,
            cwd=temp_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            timeout=_START_TIMEOUT_SECONDS,
            check=True,
        )

    def _arguments(self, temp_dir: str) -> Sequence[str]:
        settings = self._settings
        arguments = [
            "start",
            "--head",
            "--node-ip-address=127.0.0.1",
            "--port=0",
            "--include-dashboard=false",
            "--include-log-monitor=false",
            "--no-monitor",
            "--disable-usage-stats",
            f"--temp-dir={temp_dir}/{_RAY}",
            f"--object-store-memory={settings.object_store_bytes}",
            "--log-style=record",
            "--log-color=false",
        ]
        if settings.num_cpus is not None:
            arguments.append(f"--num-cpus={settings.num_cpus}")
        if settings.num_gpus is not None:
            arguments.append(f"--num-gpus={settings.num_gpus}")
        return arguments

    def _read(self) -> _Note | None:
        try:
            content = json.loads(self._note.read_text())
            daemons = tuple(ProcessRecord(**record) for record in content["daemons"])
            return _Note(content["temp_dir"], content["address"], daemons)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            _logger.warning("%s cannot be read (%s); a local Ray that it named is left alone", self._note, error)
            return None

    def _write(self, note: _Note) -> None:
        self._write_private(self._note, json.dumps(asdict(note), indent=1))

    @staticmethod
    def _write_private(path: Path, content: str) -> None:
        """Write a file that only its owner may read, in one step."""
        fresh = path.with_suffix(f"{path.suffix}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        fresh.replace(path)


def answers(address: str) -> bool:
    """Whether something accepts connections at ``host:port``."""
    host, _, port = address.rpartition(":")
    # A port that is no number, or none that exists, is answered by nobody.
    with (
        contextlib.suppress(OSError, ValueError, OverflowError),
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_SECONDS),
    ):
        return True
    return False


def _last_line(error: Exception) -> str:
    output = error.output if isinstance(error, subprocess.CalledProcessError | subprocess.TimeoutExpired) else None
    if not output:
        return str(error)
    return str(output.decode(errors="replace").strip().splitlines()[-1])
