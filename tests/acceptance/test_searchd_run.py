"""``searchd.run`` from scripts and notebooks, and the page that shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.server import Server, environment, processes_of, searchd

PAGE = (Path(__file__).parents[2] / "docs" / "your-own-model.md").read_text(encoding="utf-8")
NOTEBOOK = """
import searchd
from searchd.trainable import uniform

BEST = 0.3

def distance(x):
    return (x - BEST) ** 2

def cell(ctx):
    yield {"y": distance(ctx.params.x)}

found = searchd.run(cell, metrics={"y": "minimize"}, space={"x": uniform(0, 1)}, trials=4, slots=2, progress=False,
                    budget={"wall_time": "5m"}, search={"algorithm": "random"})
print(len(found.trials), round(distance(found.params["x"]) - found.score, 12), found.study.slots)
"""


def files() -> dict[str, str]:
    """The page's files, by name."""
    found = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return dict(found)


def python(
    folder: Path, *arguments: str, program: str = "", address: str = "", **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python there, where neither sources nor test trainables lie."""
    told = {**environment(), **more}
    told.pop("SEARCHD_ADDRESS", None)
    if address:
        told["SEARCHD_ADDRESS"] = address
    return subprocess.run(
        [sys.executable, *arguments],
        input=program,
        cwd=folder,
        env=told,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The page's example."""
    for name, code in files().items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    return tmp_path


def test_the_pages_example_as_it_is_shown(shared_server: Server, project: Path) -> None:
    """The same file runs as a script, and is sent along with the study file; both learn."""
    ran = python(project, "my_digits.py", address=shared_server.address)
    assert ran.returncode == 0, ran.stderr
    match = re.search(r"^<my-digits-\d+: accuracy (0\.\d+) with ", ran.stdout, re.MULTILINE)
    assert match is not None, ran.stdout
    assert float(match[1]) > 0.8
    told = ["submit", str(project / "digits.yaml"), "--code", str(project), "--wait"]
    done = searchd(*told, address=shared_server.address)
    assert done.returncode == 0, done.stderr
    with shared_server.client() as client:
        assert client.study("my-digits").best().best.mean > 0.8


def test_a_notebook_on_a_server_that_runs(shared_server: Server, tmp_path: Path) -> None:
    """A function that no file has is tuned with what it uses of other cells."""
    ran = python(tmp_path, "-", program=NOTEBOOK, address=shared_server.address)
    assert (ran.returncode, ran.stdout) == (0, "4 0.0 2\n"), ran.stderr


def test_without_a_server_one_is_started_and_ended(tmp_path: Path) -> None:
    """Where nobody answers, a server of its own does the work, keeps it if told to, and leaves no process behind."""
    data = tmp_path / "kept"
    told = NOTEBOOK.replace("progress=False", f"progress=False, data_dir={str(data)!r}")
    elsewhere = "import searchd.cli.run as r\nr.DEFAULT_ADDRESS = '127.0.0.1:9'\n"
    ran = python(tmp_path, "-", program=elsewhere + told)
    assert (ran.returncode, ran.stdout) == (0, "4 0.0 2\n"), ran.stderr
    assert (data / "searchd.db").exists()
    assert not processes_of(data)


@pytest.mark.parametrize(
    ("address", "program", "said"),
    [
        ("127.0.0.1:9", NOTEBOOK, "ServerUnreachable"),
        ("example.org:50051", NOTEBOOK, "is on another machine, and code is not sent there"),
        (
            "",
            NOTEBOOK.replace("metrics={", "default={'x': 1}, metrics={").replace('"minimize"', '"least"'),
            "use 'maximize' or 'minimize'",
        ),
    ],
)
def test_what_cannot_be_run_is_told(
    shared_server: Server, tmp_path: Path, address: str, program: str, said: str
) -> None:
    """No server at a given address, one on another machine, and a wrong metric are errors that say so."""
    ran = python(tmp_path, "-", program=program, address=address or shared_server.address)
    assert ran.returncode != 0
    assert said in ran.stderr


def test_a_study_that_finds_nothing_tells_why(shared_server: Server, tmp_path: Path) -> None:
    """If no trial completes, the error has the reason and what a trial printed last."""
    program = NOTEBOOK.replace("yield {", "raise OSError('no data here'); yield {")
    ran = python(tmp_path, "-", program=program, address=shared_server.address)
    assert ran.returncode != 0
    assert "RunFailed" in ran.stderr
    assert "no data here" in ran.stderr


def test_a_script_that_starts_itself_is_told(shared_server: Server, tmp_path: Path) -> None:
    """A script whose run stands outside of the guard is refused with the guard."""
    (tmp_path / "script.py").write_text(NOTEBOOK)
    ran = python(tmp_path, "script.py", address=shared_server.address)
    assert "put what does it under: if __name__ == '__main__':" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
