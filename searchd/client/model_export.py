"""The model of a trial as files, with a card that says what it is."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searchd.client.again import Again, Here, again
from searchd.client.handle import StudyHandle
from searchd.client.model_card import Trained, card_of
from searchd.client.model_readme import readme_of
from searchd.client.views import BestConfig
from searchd.domain.errors import InvalidArgument, NoCompleteTrial
from searchd.domain.evaluation import TEST_FOLD
from searchd.worker.failures import reason_of
from searchd.worker.model_files import check_installed, usual_format, write_model
from searchd.worker.model_formats import SUFFIXES, ModelFormat
from searchd.worker.retraining import MadeModel, RetrainingFailed

CHECKED = 64
"""Rows on which a file must give what the model gives."""

CARD = "card.json"

README = "README.md"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which model of a study, and how.

    Attributes:
        trial: Number of the trial; None means the best.
        fold: Number of the fold run, from 0, whose rows it is trained on; None means all rows that folds use.
        formats: Formats to write; empty means the usual one for the model.
        force: Whether files of an earlier model may be replaced.
    """

    trial: int | None = None
    fold: int | None = None
    formats: tuple[ModelFormat, ...] = ()
    force: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: files in a folder, and the card among them as a mapping."""

    folder: Path
    files: tuple[str, ...]
    card: dict[str, Any]


def export_model(handle: StudyHandle, folder: Path, wanted: Wanted, here: Here) -> Exported:
    """Train a trial again with all its epochs, and write its model and a card into a folder.

    Args:
        handle: The study.
        folder: Where to; made if it is not there.
        wanted: Which model.
        here: Where what it needs is on this machine.

    Raises:
        InvalidArgument: the folder is not empty, the study has no such fold, or it has several objectives and no trial
            is named.
        NoCompleteTrial: no trial is named, and none has completed the top rung yet.
        DataChanged: the data is not what the study was created with.
        RetrainingFailed: the trial does not train here.
        NoModel: its trainable hands over none.
        NotExported: a format does not fit the model, or gives other outputs; nothing is written then.
        SearchdError: as ``searchd.client.again.again``.
    """
    if not wanted.force and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidArgument("DIR", f"{folder} is not an empty folder", "name another, or replace the model: --force")
    for form in wanted.formats:
        check_installed(form)  # before hours of training
    best = _best(handle, wanted)
    number = wanted.trial or (best.best.trial.number if best is not None else 0)
    with again(handle, number, here, same_data=True) as ready:
        repeat, fold, whole = _place(ready, wanted)
        reports, made = ready.model(repeat, fold, whole=whole)
        train, valid = ready.rows(repeat, fold, whole=whole)
        trained = Trained(repeat, fold, whole, reports[-1].epoch, train, valid, reports[-1].metrics)
        rows = _some_rows(ready, made, valid)
        forms = dict.fromkeys(wanted.formats or (usual_format(made.model),))
        with TemporaryDirectory(prefix="searchd-model-") as draft:
            files = [write_model(made.model, form, rows, Path(draft)) for form in forms]
            card = card_of(ready, best, trained, made, rows, files, Path(draft))
            (Path(draft) / README).write_text(readme_of(card), encoding="utf-8")
            (Path(draft) / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return Exported(folder, _moved(Path(draft), folder), card)


def _best(handle: StudyHandle, wanted: Wanted) -> BestConfig | None:
    """The best configuration, for its scores; None if there is none or no one, and a trial is named."""
    study = handle.get()
    if wanted.fold is not None and not 0 <= wanted.fold < study.folds:
        remedy = f"use 0 to {study.folds - 1}" if study.folds > 1 else "use 0, or leave it out"
        raise InvalidArgument("--fold", f"{study.id} has no fold run {wanted.fold}", remedy)
    if len(study.objectives) > 1:
        if wanted.trial is None:
            reason = f"{study.id} has {len(study.objectives)} objectives, and no one best trial"
            raise InvalidArgument("--trial", reason, f"choose one that `searchd pareto {study.id}` lists")
        return None
    try:
        return handle.best()
    except NoCompleteTrial:
        if wanted.trial is None:
            raise
        return None


def _place(ready: Again, wanted: Wanted) -> tuple[int, int, bool]:
    """Repeat and fold that are trained, and whether on all rows."""
    if wanted.fold is not None:
        return (*ready.spec.evaluation.place(wanted.fold), False)
    if ready.spec.dataset is None:  # the trainable has rows of its own, which cannot be put together from here
        return 0, 0, False
    return 0, TEST_FOLD, True


def _some_rows(ready: Again, made: MadeModel, valid: NDArray[np.intp]) -> NDArray[Any]:
    """Rows to check files on: of those that validate, from all over."""
    numbers = np.arange(CHECKED if ready.spec.dataset is None else len(valid))
    numbers = numbers[:: max(1, len(numbers) // CHECKED)][:CHECKED]
    try:
        rows = np.asarray(made.handed.rows(numbers if ready.spec.dataset is None else valid[numbers]))
    except Exception as error:  # an author's function raises what it likes
        reason = f"what gives its model rows raises {reason_of(error, '')}"
        raise RetrainingFailed(ready.trial.number, 0, 0, reason) from error
    if rows.ndim < 1 or not len(rows):
        raise RetrainingFailed(ready.trial.number, 0, 0, f"what gives its model rows gave shape {rows.shape}")
    return rows


def _moved(draft: Path, folder: Path) -> tuple[str, ...]:
    """Put the files in place, the card last; a model that was there before goes."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in SUFFIXES.values():
        (folder / f"model.{suffix}").unlink(missing_ok=True)
    names = sorted((path.name for path in draft.iterdir()), key=lambda name: (name == CARD, name))
    for name in names:
        shutil.copyfile(draft / name, folder / name)  # it may be another file system
    return tuple(names)
