"""The documentation: its examples run, its commands exist, its tables are complete, and its links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor import Descriptor
from typer.main import get_command

from searchd.cli.main import app
from searchd.domain.checks import draft_violations
from searchd.domain.failure import RETRIES, Failure
from searchd.domain.study import Retry
from searchd.v1 import study_pb2
from searchd.wire.drafts import decode_draft
from searchd.wire.file_fields import OUTPUT_ONLY
from searchd.wire.study_file import read_study
from tests.trying import assert_trains

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHORTHAND = {"search_space", "fixed", "labels", "evaluation.ladder", "retry.retries"}
"""Keys whose value is not written field by field."""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language on a page."""
    return [code for found, code in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def files(page: Path) -> dict[str, str]:
    """Code blocks that begin with a comment which names a file, by that name."""
    found = {}
    for _, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        match = re.match(r"# ([a-z_-]+\.(?:py|yaml))\n", code)
        if match is not None:
            found[match[1]] = code
    return found


def studies() -> Iterator[Any]:
    """A page and the name of a study file on it."""
    for page in (ROOT / "README.md", ROOT / "docs" / "trainables.md", ROOT / "docs" / "your-own-model.md"):
        for name in files(page):
            if name.endswith(".yaml"):
                yield pytest.param(page, name, id=f"{page.stem}-{name}")


@pytest.mark.parametrize(("page", "name"), list(studies()))
def test_examples_train(page: Path, name: str, tmp_path: Path) -> None:
    """Each study file of the documentation trains an epoch with the module that stands last above it."""
    module = ""
    for file, code in files(page).items():
        (tmp_path / file).write_text(code, encoding="utf-8")
        if file == name:
            break
        if file.endswith(".py"):
            module = file.removesuffix(".py")
    assert_trains(tmp_path / name, "--trainables", module)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_python_is_valid(page: Path) -> None:
    """Every Python block compiles."""
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_study_files_are_sensible(page: Path) -> None:
    """Every YAML block that names a trainable is a study without a mistake."""
    for code in blocks(page, "yaml"):
        if "trainable:" in code:
            file = read_study(code)
            draft, found = decode_draft(file.study)
            assert [*file.violations, *found, *draft_violations(draft)] == []


def commands(page: Path) -> Iterator[list[str]]:
    """The words after ``searchd`` of each command: in shell blocks, after prompts, and in text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "shell") for line in block.splitlines()]
    lines += [
        line.removeprefix("$ ") for block in blocks(page, "console") for line in block.splitlines() if line[0:2] == "$ "
    ]
    lines += re.findall(r"`(searchd [^`\n]+)`", BLOCK.sub("", text))
    for line in lines:
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words and words[0] == "searchd":
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_commands_exist(page: Path) -> None:
    """Every ``searchd`` command that is shown has a command and options of that name."""
    known: Any = get_command(app)
    for words in commands(page):
        assert words[0] in known.commands, words
        options = {name for parameter in known.commands[words[0]].params for name in parameter.opts}
        assert {word.split("=")[0] for word in words if word.startswith("-")} <= {*options, "--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names something that is there."""
    text = re.sub(r"`[^`\n]+`", "", BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def keys(message: Descriptor, path: str = "") -> Iterator[str]:
    """The keys of a study file, as paths."""
    for field in message.fields:
        here = f"{path}{field.name}"
        if path or field.name not in OUTPUT_ONLY:
            yield here
            nested = field.message_type
            if nested is not None and here not in SHORTHAND and nested.full_name.startswith("searchd."):
                yield from keys(nested, f"{here}.")


def test_study_file_page_is_complete() -> None:
    """The reference has a row for each key of a study file, and none for a key that does not exist yet."""
    page = (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted({"study_id", *keys(study_pb2.Study.DESCRIPTOR)})


def test_failures_are_documented_with_their_retries() -> None:
    """The study file's page has one row for each way to fail, with how often it is usually retried."""
    page = (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .+ \| `([a-z_]+)` \| ([0-9]+) \|$", page, re.MULTILINE)
    assert [(name, int(count)) for name, count in rows] == [(f.value, Retry().of(f)) for f in Failure]
    assert {Failure(name): int(count) for name, count in rows} == RETRIES


def test_cluster_page_names_the_file() -> None:
    """The YAML on the cluster page is YAML."""
    assert all(yaml.safe_load(block) for block in blocks(ROOT / "docs" / "cluster.md", "yaml"))
