"""Runs a peer in a process of its own, on a Ray of its own if it needs one, so that no contender disturbs the next."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from searchd.engines.ray.local import LocalRay, LocalRaySettings

ROOT = Path(__file__).resolve().parent.parent
SLOTS = 2
"""Slots of every contender."""

TIMEOUT_SECONDS = 600
RESULT = "BENCHMARK_RESULT"
"""Environment variable with the path of the file that a peer writes its numbers to."""


@contextmanager
def fresh_ray() -> Iterator[Mapping[str, str]]:
    """A local Ray started exactly as a server starts its own; what its drivers need in their environment.

    Raises:
        RayUnavailable: it does not start.
    """
    with TemporaryDirectory(prefix="searchd-benchmark-") as folder:
        ray = LocalRay(LocalRaySettings(Path(folder), num_cpus=SLOTS))
        try:
            cluster = ray.start()
            yield {**cluster.environment, "RAY_ADDRESS": cluster.address}
        finally:
            ray.stop()


def run_peer(module: str, options: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run ``python -m benchmarks.peers.<module>`` and return the numbers that it wrote.

    Args:
        module: Name of the peer's module.
        options: Its command line.
        environment: Beside that of this process.

    Raises:
        RuntimeError: it failed or wrote nothing; the message has the end of what it printed.
        subprocess.TimeoutExpired: it takes too long.
    """
    with TemporaryDirectory(prefix="searchd-benchmark-") as folder:
        result = Path(folder) / "result.json"
        process = subprocess.Popen(
            [sys.executable, "-m", f"benchmarks.peers.{module}", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {}), RESULT: str(result)},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode != 0 or not result.exists():
            raise RuntimeError(f"{module} failed with code {process.returncode}: {output[-2000:]}")
        numbers: dict[str, float] = json.loads(result.read_text())
        return numbers


def write_result(numbers: Mapping[str, float]) -> None:
    """For peers: leave numbers for whoever ran this process."""
    Path(os.environ[RESULT]).write_text(json.dumps(dict(numbers)))
