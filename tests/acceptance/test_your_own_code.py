"""Code of one's own, sent to a real server that knows nothing of it."""

from collections.abc import Callable
from pathlib import Path

from searchd.domain.study import StudyState
from searchd.domain.trial import TrialState
from tests.acceptance.server import Server, eventually, searchd

NET = """\
from searchd.trainable import trainable, uniform

import steps


@trainable(metrics={"score": "maximize"}, space={"x": uniform(0, 1)}, default={"x": 0.5})
def my_net(ctx):
    for _ in ctx.epochs():
        steps.wait()
        yield {"score": steps.SCORE}
"""
STEPS = """\
import pathlib
import time

SCORE = {score}


def wait():
    while not pathlib.Path({gate!r}).exists():
        time.sleep(0.02)
"""
STUDY = """\
trainable: my_net
search: {algorithm: random}
scheduler: {algorithm: none}
evaluation: {epochs: 2}
resources: {cpus: 0.5}
budget: {trials: 4, slots: 1}
"""


def write(folder: Path, score: float, gate: Path) -> None:
    (folder / "net.py").write_text(NET)
    (folder / "steps.py").write_text(STEPS.format(score=score, gate=str(gate)))
    (folder / "study.yaml").write_text(STUDY)


def test_each_study_trains_the_code_that_it_was_sent_with(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """Two versions of one trainable train at the same time, each its own, through a crash and without its folder."""
    mine, gate = tmp_path / "mine", tmp_path / "gate"
    mine.mkdir()
    server = make_server().start()
    for score in (1.0, 2.0):
        write(mine, score, gate)
        file = str(mine / "study.yaml")
        done = searchd("submit", file, "--code", str(mine), "--study-id", f"v{score:g}", address=server.address)
        assert done.stdout == f"projects/default/studies/v{score:g}\n", done.stderr
    for left in mine.iterdir():
        left.unlink()
    with server.client() as client:
        both = [client.study(name) for name in ("v1", "v2")]
        eventually(lambda: all(len(study.trials(TrialState.RUNNING)) for study in both))
        assert len({pool.code for pool in client.cluster().pools}) == 2
    server.kill()
    server.start()
    gate.write_text("")
    with server.client() as client:
        for name, score in (("v1", 1.0), ("v2", 2.0)):
            study = client.study(name).wait(progress=False)
            assert (study.state, study.reason) == (StudyState.SUCCEEDED, "")
            assert {trial.rung_scores[-1] for trial in client.study(name).trials()} == {score}
    assert len(list((server.data_dir / "storage" / "code").iterdir())) == 2


def test_a_server_without_code(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """One that was started with --no-code refuses, and says so."""
    write(tmp_path, 1.0, tmp_path)
    server = make_server("--no-code").start()
    done = searchd("submit", str(tmp_path / "study.yaml"), "--code", str(tmp_path), address=server.address)
    assert done.returncode != 0
    assert "the server was started with --no-code" in done.stderr
