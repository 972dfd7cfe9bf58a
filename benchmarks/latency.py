"""How long until the first metric is seen by a client that watches: of a known trainable, and of a changed file."""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.ours import definition, finished, server, warm_up
from benchmarks.report import Aim, Figure, Report
from searchd.client import Client
from searchd.domain.measurement import Measurement

REPEATS, QUICK_REPEATS = 20, 8
EDITS, QUICK_EDITS = 5, 2
MODULE = "edited_trainable"
SOURCE = '''"""A trainable that is being written."""

from searchd.trainable import trainable, uniform


@trainable(metrics={{"loss": "minimize"}}, space={{"x": uniform(-10.0, 10.0)}})
def edited(ctx):
    """The square of x, and which version of this file it is."""
    yield {{"loss": ctx.params.x**2, "version": {version}}}
'''


def measure(quick: bool) -> Report:
    """Submit studies of one trial, one after the other; then edit the file before each."""
    with TemporaryDirectory(prefix="searchd-benchmark-") as name:
        folder = Path(name)
        _edit(folder, 0)
        with server(MODULE, folder) as running:
            warm_up(running.client, definition("edited", 4))
            known = [_seconds_to_first(running.client, seed, 0) for seed in range(QUICK_REPEATS if quick else REPEATS)]
            changed = []
            for version in range(1, 1 + (QUICK_EDITS if quick else EDITS)):
                began = time.perf_counter()
                _edit(folder, version)
                _seconds_to_first(running.client, 0, version)
                changed.append(time.perf_counter() - began)
    quantiles = statistics.quantiles(known, n=20, method="inclusive")
    return Report(
        "latency",
        (),
        (
            Figure("seconds_from_changed_file", max(changed), "s", Aim(5.0, at_least=False)),
            Figure("seconds_from_submit_median", statistics.median(known), "s", Aim(0.3, at_least=False)),
            Figure("seconds_from_submit_p95", quantiles[-1], "s", Aim(0.3, at_least=False)),
        ),
        (f"the slowest of {len(changed)} edits; {len(known)} submissions of a known trainable to warm workers",),
    )


def _edit(folder: Path, version: int) -> None:
    (folder / f"{MODULE}.py").write_text(SOURCE.format(version=version))


def _seconds_to_first(client: Client, seed: int, version: int) -> float:
    """From the submission to the first measurement that a watch brings, which must come from that version.

    Raises:
        RuntimeError: it comes from another version of the file, or never.
    """
    began = time.perf_counter()
    handle = client.create_study(definition("edited", 1, seed=seed))
    for event in handle.watch():
        if isinstance(event.value, Measurement):
            seconds = time.perf_counter() - began
            _check_version(event.value.metrics, version)
            finished(handle)
            return seconds
    raise RuntimeError(f"{handle.name} ended without a measurement: {handle.get().reason}")


def _check_version(metrics: Any, version: int) -> None:
    if metrics["version"] != version:
        raise RuntimeError(f"version {metrics['version']:g} of the trainable ran instead of {version}")
