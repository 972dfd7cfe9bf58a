"""The cluster-launcher file, checked offline against what Ray itself checks, and against searchd's own command line."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.main import get_command

from searchd.cli.main import app
from searchd.rpc.server import loopback_address

ROOT = Path(__file__).parents[2]
START_SECTIONS = ("head_start_ray_commands", "worker_start_ray_commands")
COMMAND_SECTIONS = ("setup_commands", "head_setup_commands", "worker_setup_commands", *START_SECTIONS)


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The file as it is written."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    return found


def on_premises(section: str) -> dict[str, Any]:
    """A YAML block of the cluster page, the one that holds ``section``."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    found: dict[str, Any] = next(yaml.safe_load(block) for block in blocks if section in block)
    return found


def option(command: str, name: str) -> str:
    """The value of an option in a shell command."""
    words = shlex.split(command)
    return words[words.index(name) + 1]


def serving(config: dict[str, Any]) -> str:
    """The command of the head that starts searchd."""
    commands: list[str] = config["head_start_ray_commands"]
    return next(command for command in commands if re.search(r"\bsearchd up\b", command))


def test_schema(written: dict[str, Any]) -> None:
    """The file satisfies the schema that ships with Ray, as written and with Ray's defaults filled in."""
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(written, schema)
    filled = prepare_config(written)
    validate_config(filled)
    assert filled["head_start_ray_commands"] == written["head_start_ray_commands"]


def test_schema_refuses_mistakes(written: dict[str, Any]) -> None:
    """The check can fail: a misspelt key and too few workers in all are refused."""
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(written | {"max_worker": 3}))
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(written | {"max_workers": 1}))


def test_nodes(written: dict[str, Any]) -> None:
    """There is a head that trains nothing, and between two and eight workers with a GPU each."""
    types = prepare_config(written)["available_node_types"]
    assert types[written["head_node_type"]]["resources"] == {"CPU": 0}
    (worker,) = (kind for name, kind in types.items() if name != written["head_node_type"])
    assert worker["resources"]["GPU"] == 1
    assert (worker["min_workers"], worker["max_workers"]) == (2, 8)


@pytest.mark.parametrize("section", COMMAND_SECTIONS)
def test_commands_are_shell(written: dict[str, Any], section: str) -> None:
    """Every command of the file is valid shell."""
    for command in written[section]:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_searchd_starts_on_the_head(written: dict[str, Any]) -> None:
    """The head starts Ray and then searchd, with options that `searchd up` has, on loopback, joined to that Ray."""
    commands = written["head_start_ray_commands"]
    command = serving(written)
    ray_start = next(c for c in commands if "ray start" in c)
    assert commands.index(ray_start) < commands.index(command)
    known = {name for parameter in get_command(app).commands["up"].params for name in parameter.opts}  # type: ignore[attr-defined]
    used = re.findall(r"(?<= )--[a-z-]+", command)
    assert used
    assert set(used) <= known
    loopback_address(option(command, "--listen"))
    assert option(command, "--ray-address").endswith(f":{re.findall('--port=([0-9]+)', ray_start)[0]}")
    assert not any("searchd up" in c for c in written["worker_start_ray_commands"])


def test_database_is_not_on_the_network(written: dict[str, Any]) -> None:
    """The database lies beside the shared file system, and everything that workers need lies on it."""
    command = serving(written)
    (mount,) = {match for c in written["setup_commands"] for match in re.findall(r"mountpoint -q (\S+)", c)}
    assert not option(command, "--store").removeprefix("sqlite:///").startswith(mount)
    for name in ("--data-dir", "--data-root"):
        assert option(command, name).startswith(mount)


def test_every_process_of_ray_wants_the_token(written: dict[str, Any]) -> None:
    """The secret reaches every node, and the mode that demands it is set before anything of Ray starts."""
    assert written["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in c and ".bashrc" in c for c in written["setup_commands"])


def test_on_premises_variant(written: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documentation changes for machines of one's own gives a file that Ray accepts as well."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    kept = {k: v for k, v in written.items() if k not in ("available_node_types", "head_node_type", "provider", "auth")}
    changed = kept | on_premises("type: local")
    filled = prepare_config(changed)
    validate_config(filled)
    assert serving(filled) == serving(written)
