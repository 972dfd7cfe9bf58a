"""The wheel: what is in it, and that the base install is a working client without Ray, a database or any model."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.acceptance.server import Server

ROOT = Path(__file__).parents[2]
SOURCES = ("searchd", "trainables", "pyproject.toml", "README.md", "LICENSE")
HEAVY = ("ray", "sqlalchemy", "alembic", "optuna", "hyperopt", "sklearn", "scipy", "torch", "psutil", "pyarrow")

BARE = """
import importlib.abc, sys
blocked = set({blocked!r})
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, {wheel!r})
import searchd
assert searchd.__file__.startswith({wheel!r}), searchd.__file__
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "-w", str(out), str(copy)], check=True)
    (built,) = out.glob("searchd-*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installation would lay it out."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def absent(unpacked: Path) -> frozenset[str]:
    """Top-level modules that are installed here but would not be by the base install and what it requires."""
    (information,) = unpacked.glob("searchd-*.dist-info/METADATA")
    wanted = Parser().parsestr(information.read_text(encoding="utf-8")).get_all("Requires-Dist") or []
    there: set[str] = set()
    waiting = list(_needed(wanted))
    while waiting:
        name = waiting.pop()
        if name not in there:
            there.add(name)
            waiting += _needed(metadata.requires(name) or [])
    owners = metadata.packages_distributions()
    return frozenset(
        module
        for module, distributions in owners.items()
        if there.isdisjoint(map(canonicalize_name, distributions)) and module not in ("searchd", "trainables")
    )


def _needed(requirements: list[str]) -> Iterator[str]:
    """Names of the installed distributions among requirements, those of extras left out."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def bare(code: str, unpacked: Path, absent: frozenset[str], address: str = "") -> "subprocess.CompletedProcess[str]":
    """Run code as if only the base install were there."""
    program = BARE.format(blocked=sorted(absent), wheel=str(unpacked)) + code
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "SEARCHD_ADDRESS": address, "COLUMNS": "100"},
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def command(*arguments: str) -> str:
    """Code that runs the command line."""
    return f"import sys\nsys.argv = ['searchd', *{arguments!r}]\nfrom searchd.cli.main import main\nmain()"


def test_contents(wheel: Path) -> None:
    """The wheel holds the stubs with their types, the migrations, the demo's study, py.typed and the licence."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    there = {name.removeprefix("searchd/") for name in names if name.startswith("searchd/")}
    protos = [path.stem for path in (ROOT / "protos" / "searchd" / "v1").glob("*.proto")]
    assert protos
    stubs = {f"v1/{stem}_pb2{rest}" for stem in protos for rest in (".py", ".pyi", "_grpc.py", "_grpc.pyi")}
    assert stubs <= there
    assert {"py.typed", "cli/demo.yaml", "stores/migrations/env.py"} <= there
    assert any(name.startswith("stores/migrations/versions/v") for name in there)
    assert {"trainables/torch_cnn.py", "trainables/sklearn_classifier.py"} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/")) or "__pycache__" in name]


def test_every_source_file_is_in(wheel: Path) -> None:
    """No module of the checkout is missing from the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    written = {str(p.relative_to(ROOT)) for top in ("searchd", "trainables") for p in (ROOT / top).rglob("*.py")}
    assert written <= names


def test_blocking_blocks(unpacked: Path, absent: frozenset[str]) -> None:
    """The simulated base install lacks everything heavy, so that the tests below could fail."""
    assert set(HEAVY) <= absent
    done = bare("import ray", unpacked, absent)
    assert "ModuleNotFoundError: No module named 'ray'" in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import searchd; searchd.Client; searchd.__version__",
        "from searchd.client import Client, StudyHandle; Client('localhost:1').close()",
        "from searchd.trainable import trainable, register, Context, uniform",
        "from searchd.wire.study_file import read_study; assert not read_study('trainable: x').violations",
        "from searchd.v1 import study_service_pb2_grpc, trial_service_pb2_grpc, leaderboard_service_pb2_grpc",
        "from searchd.v1 import trainable_service_pb2_grpc, system_service_pb2_grpc",
    ],
)
def test_base_install_imports(code: str, unpacked: Path, absent: frozenset[str]) -> None:
    """The client, the authors' module, the file reader and all stubs import with the base install alone."""
    done = bare(code, unpacked, absent)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["", "submit", "ls", "watch", "leaderboard", "best", "trainables", "cluster"])
def test_base_install_help(name: str, unpacked: Path, absent: frozenset[str]) -> None:
    """Commands explain themselves with the base install alone."""
    done = bare(command(*filter(None, [name]), "--help"), unpacked, absent)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: searchd" in done.stdout


@pytest.mark.parametrize("arguments", [("up",), ("down",), ("demo",)])
def test_base_install_says_what_is_missing(
    arguments: tuple[str, ...], unpacked: Path, absent: frozenset[str], tmp_path: Path
) -> None:
    """A command that needs the server's parts says in one line how to install them."""
    done = bare(command(*arguments, "--data-dir", str(tmp_path)), unpacked, absent)
    assert done.returncode == 1
    assert "pip install 'searchd[server]'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_base_install_is_a_client(unpacked: Path, absent: frozenset[str], shared_server: Server) -> None:
    """With the base install alone one submits a study, follows it, and takes the best configuration away as a frame."""
    code = """
import searchd
with searchd.Client() as client:
    study = client.create_study(
        study_id="bare", trainable="trivial", search={"algorithm": "random"}, budget={"trials": 4}, seed=1
    )
    assert study.wait(progress=False).state.name == "SUCCEEDED"
    frame = study.leaderboard(top=10).to_pandas()
    assert len(frame) == 4, frame
    print(study.best().params["x"])
"""
    done = bare(code, unpacked, absent, shared_server.address)
    assert (done.returncode, done.stderr) == (0, "")
    float(done.stdout)
    board = bare(command("leaderboard", "bare"), unpacked, absent, shared_server.address)
    assert (board.returncode, board.stderr) == (0, "")
