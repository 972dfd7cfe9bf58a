"""Commands that compare trials: leaderboard, best."""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import Labels, Output, Project, StudyArgument, pairs
from searchd.cli.output import show, show_json, show_line, width
from searchd.client import BestConfig, Client, Entry, Leaderboard, StudyHandle
from searchd.client.numbers import decimals_for, fixed, number
from searchd.client.progress import header, ranking
from searchd.client.troubles import Troubles
from searchd.domain.errors import NoCompleteTrial
from searchd.domain.study import Confirmed


class ConfigFormat(StrEnum):
    """How a configuration is printed."""

    YAML = "yaml"
    JSON = "json"
    PYTHON = "python"
    ARGS = "args"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("leaderboard")(leaderboard)
    app.command("best")(best)


def leaderboard(
    study: Annotated[list[str] | None, typer.Argument(metavar="[STUDY]...", help="studies to rank, one by one")] = None,
    label: Labels = None,
    top: Annotated[int, typer.Option("--top", min=1, max=1000, help="at most this many trials of each")] = 10,
    project: Project = "default",
    output: Output = None,
) -> None:
    """Rank trials: the top rung best first, then those that have not completed it."""
    with Client() as client:
        boards = [handle.leaderboard(top) for handle in _handles(client, study, label, project)]
        documents = [board.to_dict() for board in boards]
        show(
            output,
            lambda: documents[0] if study and len(study) == 1 else {"leaderboards": documents},
            lambda: _board_lines(boards),
        )


def best(
    study: StudyArgument,
    project: Project = "default",
    output: Annotated[
        ConfigFormat, typer.Option("--output", "-o", help="yaml and python with remarks; json with all figures; args")
    ] = ConfigFormat.YAML,
) -> None:
    """Print the best configuration, ready to paste, with how sure it is; with several objectives that of each."""
    with Client() as client:
        handle = client.study(study, project=project)
        if len(handle.get().objectives) > 1:
            _show_bests(handle, output)
            return
        found = handle.best()
    match output:
        case ConfigFormat.JSON:
            show_json(found.to_dict())
        case ConfigFormat.ARGS:
            show_line(_arguments(found.params))
        case ConfigFormat.YAML:
            show_line("\n".join([*remarks(found), yaml_line(found.params)]))
        case ConfigFormat.PYTHON:
            show_line("\n".join([*remarks(found), repr(dict(found.params))]))


def _show_bests(handle: StudyHandle, output: ConfigFormat) -> None:
    """With several objectives there is no one best configuration: that of each, from the Pareto front."""
    front = handle.pareto()
    if not len(front):
        raise NoCompleteTrial(handle.name)
    bests = {objective.metric: front.best(objective) for objective in front.objectives}
    if output is ConfigFormat.JSON:
        show_json({"best": {metric: member.to_dict() for metric, member in bests.items()}})
        return
    for metric, member in bests.items():
        if output is ConfigFormat.ARGS:
            show_line(_arguments(member.trial.params))
            continue
        values = "   ".join(f"{name} {number(value)}" for name, value in member.values.items())
        show_line(f"# best {metric}: trial {member.trial.number}   {values}")
        params = member.trial.params
        show_line(yaml_line(params) if output is ConfigFormat.YAML else repr(dict(params)))
    if output is not ConfigFormat.ARGS:
        show_line(f"# searchd pareto {handle.name.rpartition('/')[2]} lists all {len(front)} trials of the front")


def _arguments(params: Mapping[str, Any]) -> str:
    return shlex.join(f"--{name}={_argument(value)}" for name, value in params.items())


def remarks(found: BestConfig) -> list[str]:
    """Comment lines: where the configuration comes from, and how sure it is that it is the best."""
    entry, study = found.best, found.study
    origin = [f"trial {entry.trial.number} at {entry.rung.folds} folds x {entry.rung.epochs} epochs"]
    origin += [f"split_seed {study.split_seed}", *([f"data {study.data[:4]}"] if study.data else [])]
    origin += [f"code {study.code[:4]}", f"seed {study.seed}"]
    decimals = decimals_for([entry.mean])
    figures = [f"selected {_with_error(entry, decimals)}"]
    if found.confirmed is not None:
        figures += _confirmed(found.confirmed, decimals)
    if found.default is not None:
        figures.append(f"default {_with_error(found.default, decimals)}")
    if found.gain is not None:
        gain = found.gain
        low, mean, high = (fixed(value, decimals) for value in (gain.low, gain.mean, gain.high))
        figures.append(f"gain {mean} [{low}, {high}]")
    notes = [f"tied with {', '.join(f'#{n}' for n in found.tied)}"] if found.tied else []
    if found.optimism is not None:
        notes.append(f"optimism {fixed(found.optimism, decimals)}")
    lines = [", ".join(origin), "   ".join(figures), "; ".join([*notes, *found.remarks])]
    return [f"# {line}" for line in lines if line]


def _confirmed(confirmed: Confirmed, decimals: int) -> list[str]:
    figures = []
    if confirmed.mean is not None:
        error = "" if confirmed.standard_error is None else f" ±{fixed(confirmed.standard_error, decimals)}"
        figures.append(f"confirmed {fixed(confirmed.mean, decimals)}{error}")
    if confirmed.test is not None:
        figures.append(f"test {fixed(confirmed.test, decimals)}")
    return figures


def _handles(
    client: Client, names: Sequence[str] | None, label: Sequence[str] | None, project: str
) -> list[StudyHandle]:
    if names:
        return [client.study(name, project=project) for name in names]
    if not label:
        raise CommandFailed("name a study, or choose studies with --label key=value", ExitCode.USAGE)
    found = client.studies(project=project, labels=pairs("--label", list(label)))
    return [client.study(study.name) for study in found]


def _board_lines(boards: Sequence[Leaderboard]) -> list[str]:
    lines: list[str] = []
    for board in boards:
        lines += [""] if lines else []
        lines += [*header(board.study, datetime.now(UTC), Troubles(), width()), ""]
        lines += ranking(board.study, list(board), width()) if len(board) else ["no trial has completed a rung yet"]
    return lines


def _with_error(entry: Entry, decimals: int) -> str:
    error = entry.standard_error
    return fixed(entry.mean, decimals) + (f" ±{fixed(error, decimals)}" if error is not None else "")


def _argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def yaml_line(params: Mapping[str, Any]) -> str:
    """The parameters as a flow mapping of YAML 1.2."""
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)  # its attributes are declared with the wrong types
    yaml.default_flow_style = True
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 10_000
    stream = io.StringIO()
    yaml.dump(dict(params), stream)
    return stream.getvalue().strip()
