"""The README's session, run as it is printed."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.server import Server, environment

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PRINTED = re.findall(r"^\$ searchd (.*)$", README, re.MULTILINE)


def test_session(make_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the README's files and commands one gets a study, its leaderboard, its best configuration, and a frame."""
    for name, code in re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    server = make_server("--trainables", "my_model").start()
    told = {**environment(), "SEARCHD_ADDRESS": server.address}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=told,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = {}
    for command in PRINTED:
        words = shlex.split(command)
        if words[0] != "up" and "bad.yaml" not in words:
            table = ["-o", "table"] if words[0] == "leaderboard" else []
            shown[words[0]] = run("-m", "searchd", *words, *table)
    assert set(shown) == {"try", "submit", "watch", "leaderboard", "best"}
    assert shown["submit"] == "projects/default/studies/my-first\n"
    assert shown["watch"].rstrip().endswith("study SUCCEEDED")
    assert "vs #1" in shown["leaderboard"]
    assert "width" in shown["best"].splitlines()[-1]
    assert "params.width" in run("client.py")
