"""Backup, doctor and restore as users run them, with real servers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from searchd.domain.study import StudyState
from tests.acceptance.server import Server, eventually, processes_of, searchd


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    """Two servers of which none has been started."""
    pair = Server(tmp_path / "first"), Server(tmp_path / "second")
    pair[0].data_dir.mkdir()
    yield pair
    for server in pair:
        server.down()


def doctor(data_dir: Path) -> tuple[bool, dict[str, str], dict[str, str]]:
    """Whether it is sound, and the verdict and message of each check."""
    told: Any = json.loads(searchd("doctor", "--data-dir", str(data_dir)).stdout)
    checks = told["checks"]
    return told["sound"], {c["check"]: c["verdict"] for c in checks}, {c["check"]: c["message"] for c in checks}


def measured(study: Any) -> dict[tuple[int, int, int, int], float]:
    """The measurements there are, by trial, repeat, fold and epoch."""
    return {(m.trial, m.repeat, m.fold, m.epoch): m.metrics["loss"] for m in study.measurements(None)}


def test_a_killed_server_is_restored_elsewhere(servers: tuple[Server, Server], tmp_path: Path) -> None:
    """A backup of a busy server, restored elsewhere while its workers live on, has all that was shown before it, adopts
    none of them, and finishes the study; doctor finds every state on the way sound."""
    first, second = servers
    with first.start().client() as client:
        study = client.create_study(
            study_id="slow",
            trainable="quadratic",
            fixed={"seconds": 0.15},
            search={"algorithm": "random"},
            scheduler={"algorithm": "none"},
            evaluation={"epochs": 12},
            budget={"trials": 4},
            seed=3,
        )
        eventually(lambda: len(measured(study)) >= 8)
        shown = measured(study)
        saved = searchd("backup", str(tmp_path / "b.tar.gz"), "--data-dir", str(first.data_dir))
        assert saved.returncode == 0, saved.stderr
        assert saved.stdout.startswith("saved 1 study, ")
        sound, verdicts, messages = doctor(first.data_dir)
        assert (sound, set(verdicts.values())) == (True, {"ok"}), messages
        assert "gives signs of life" in messages["lease"]
    first.kill()
    sound, verdicts, messages = doctor(first.data_dir)
    assert sound, messages
    assert {check for check, verdict in verdicts.items() if verdict == "warning"} == {"server", "ray", "lease"}
    old = processes_of(first.data_dir)
    assert old  # workers of the old timeline live on, to be left alone
    restored = searchd("restore", str(tmp_path / "b.tar.gz"), "--data-dir", str(second.data_dir))
    assert restored.returncode == 0, restored.stderr
    with second.start().client() as client:
        study = client.study("slow")
        assert study.wait(progress=False).state is StudyState.SUCCEEDED
        again = measured(study)
    assert shown.items() <= again.items()
    assert len(again) == 4 * 12
