"""The try command: one trial, one fold, one epoch in this very process, so that a debugger works."""

import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import Modules, configuration
from searchd.cli.output import show_line
from searchd.client.numbers import number, parameter
from searchd.domain.card import Card
from searchd.domain.draft import StudyDraft
from searchd.domain.errors import InvalidArgument, InvalidStudy, SearchdError, TrainableNotFound, Violation
from searchd.domain.space import Parameters
from searchd.domain.study import StudyName, StudySpec

if TYPE_CHECKING:
    from searchd.datasets import DatasetCache
    from searchd.trainable import Registration

NAME = StudyName("projects/default/studies/try")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("try")(try_file)


def try_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="study file (YAML)")],
    params: Annotated[
        list[str] | None, typer.Option("--params", metavar="KEY=VALUE", help="instead of the default; may be repeated")
    ] = None,
    trainables: Modules = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--data-root", metavar="DIR", exists=True, file_okay=False, help="where dataset files may lie  [default: .]"
        ),
    ] = None,
) -> None:
    """Train one epoch of one trial on one fold in this process, and print its metrics."""
    from searchd.client.client import read_study_path
    from searchd.wire.drafts import decode_draft

    study = read_study_path(file)
    if study.empty:
        raise InvalidStudy(study.violations)
    draft, found = decode_draft(study.study)
    if draft.parent is not None:
        reason = f"what {draft.parent.study} has found is known to a server only"
        raise InvalidArgument("parent", reason, "submit the study, with one trial to begin with")
    given = configuration("--params", params)
    modules = tuple(trainables or ())
    sys.path.insert(0, str(Path.cwd()))
    roots = tuple(data_root or [Path.cwd()])
    with TemporaryDirectory(prefix="searchd-try-") as scratch:
        _try(draft, (*study.violations, *found), given, modules, roots, Path(scratch))


def _try(
    draft: StudyDraft,
    found: Sequence[Violation],
    given: Parameters,
    modules: Sequence[str],
    roots: tuple[Path, ...],
    scratch: Path,
) -> None:
    from searchd.datasets import DatasetCache
    from searchd.ports.engine import Task
    from searchd.worker.trial_run import try_once

    datasets = DatasetCache(scratch / "datasets", roots)
    spec, card, fingerprint = _defined(draft, found, modules, datasets)
    parameters = _configuration(spec, card, given)
    everything = {**spec.fixed, **parameters}
    show_line(f"{spec.trainable}: {'  '.join(f'{k}={parameter(v)}' for k, v in everything.items())}")
    task = Task(
        study=NAME,
        trainable=spec.trainable,
        fixed=spec.fixed,
        dataset=spec.dataset,
        data=fingerprint,
        evaluation=spec.evaluation,
        seed=spec.seed,
        metrics=(spec.objective.metric, *spec.others),
    )
    try:
        tried = try_once(
            task,
            parameters,
            datasets=datasets,
            modules=modules,
            installed=True,
            storage=scratch / "storage",
            device="cuda" if spec.resources.gpus else "cpu",
        )
    except SearchdError:
        raise
    except Exception as error:
        traceback.print_exc()  # the trainable's author is looking for just this
        reason = f"{type(error).__name__}: {error}"
        raise CommandFailed(
            f"{spec.trainable} did not get through its first epoch: {reason}", ExitCode.FAILED
        ) from None
    metrics = "  ".join(f"{name}={number(value)}" for name, value in tried.metrics.items())
    show_line(f"fold 1 epoch 1: {metrics}   ({tried.seconds:.2f} s)")


def _defined(
    draft: StudyDraft, found: Sequence[Violation], modules: Sequence[str], datasets: "DatasetCache"
) -> tuple[StudySpec, Card, str]:
    """The definition as a server without a cluster would complete it, the card, and the data's fingerprint."""
    from searchd.service.definition import Surroundings, define

    inspection = datasets.inspect(draft.dataset, draft.evaluation) if draft.dataset is not None else None
    cards = _cards(draft.trainable, modules)
    spec = define(draft, found, Surroundings(cards, inspection, nodes=()))
    return spec, cards[spec.trainable], inspection.fingerprint if inspection is not None else ""


def _cards(name: str, modules: Sequence[str]) -> dict[str, Card]:
    """The card of that trainable; if there is none, those of all that could have been meant."""
    from searchd.trainable import registered
    from searchd.worker.loading import installed_modules, load_trainable

    try:
        return {name: _card_of(load_trainable(name, modules, installed=True))}
    except TrainableNotFound:
        for installed in installed_modules().values():
            importlib.import_module(installed)
        return {found.name: _card_of(found) for found in registered().values()}


def _card_of(found: "Registration") -> Card:
    return Card(
        name=found.name,
        description=found.description,
        form=found.form,
        metrics=found.metrics,
        space=found.space,
        default=found.default,
        checkpoints=found.checkpoints,
        folds=found.folds,
        code="",
        gradients=found.gradients,
        parent=found.parent,
    )


def _configuration(spec: StudySpec, card: Card, given: Parameters) -> dict[str, Any]:
    """The default configuration where there is one, else the middle of the space; with what was given in its place."""
    middle = spec.space.draw([0.5] * len(spec.space.parameters))
    known = {*spec.space.names(), *(card.default or {})}
    for name in given:
        if known and name not in known:
            raise InvalidArgument(
                "--params", f"{card.name} has no parameter {name!r}", f"use {', '.join(sorted(known))}"
            )
    chosen = {**(card.default if card.default is not None else middle), **given}
    return {name: value for name, value in chosen.items() if name not in spec.fixed}
