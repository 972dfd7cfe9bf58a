"""``searchd.run``: tune a function of one's own from a script or a notebook, whether or not a server runs."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from searchd.client import BestConfig, Client, Study, StudyHandle, Trial
from searchd.client.channel import is_loopback
from searchd.client.client import DEFAULT_ADDRESS
from searchd.client.code import refuse_while_imported
from searchd.client.function import portable, written_space
from searchd.domain.errors import InvalidArgument, SearchdError, ServerUnreachable
from searchd.domain.space import Parameters, ParameterValue
from searchd.domain.trial import TrialState


class RunFailed(SearchdError):  # noqa: N818  # named for what went wrong, as the domain's errors are
    """The study ended without a best configuration; ``log_tail`` is what a trial that failed printed last."""

    def __init__(self, study: str, reason: str, log_tail: str) -> None:
        super().__init__(study, reason, log_tail)
        self.study = study
        self.reason = reason
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.study} has no best configuration: {self.reason}" + (
            f"\n{self.log_tail}" if self.log_tail else ""
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a study, read to the end: its server may be gone.

    Attributes:
        study: The study as it ended.
        best: The best configuration, with how sure it is.
        trials: All trials in number order; shape (n_trials,).
    """

    study: Study
    best: BestConfig
    trials: tuple[Trial, ...]

    @property
    def params(self) -> Parameters:
        """The best configuration's parameters with the fixed ones, ready to use."""
        return self.best.params

    @property
    def score(self) -> float:
        """Its mean score over the folds."""
        return self.best.best.mean

    def __repr__(self) -> str:
        found = f"{self.study.metric} {self.score:.6g} with {dict(self.params)}"
        return f"<{self.study.id}: {found}, {len(self.trials)} trials>"


def run(
    trainable: Callable[..., Any],
    *,
    space: Mapping[str, Any] | None = None,
    metrics: Mapping[str, str] | None = None,
    default: Mapping[str, ParameterValue] | None = None,
    dataset: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    folds: int | None = None,
    epochs: int | None = None,
    trials: int = 20,
    slots: int | None = None,
    progress: bool | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    **fields: Any,
) -> Run:
    """Tune a function of this file or notebook, and wait for the result.

    The server at SEARCHD_ADDRESS is used, or one at localhost:50051 if it answers; else one is started for as long as
    this takes. Ctrl-C ends such a server with its study; on another one the study goes on.

    Args:
        trainable: A generator function that yields its metrics once per epoch, decorated with ``trainable`` or not; or
            something that was registered.
        space: What to search, from names to ``loguniform(...)`` and the like, or as a study file writes it; None means
            the space that it was declared with.
        metrics: What it yields, with ``"maximize"`` or ``"minimize"``; the first is optimised. Only if it is not
            decorated.
        default: The configuration to compare with. Only if it is not decorated.
        dataset: Name of a bundled dataset, path of a file, or what a study file has; None for none.
        folds: Folds of the cross-validation, 2 or more; None means one hold-out split.
        epochs: Epochs of a full evaluation, 1 or more; None means 1.
        trials: Trials to start, 1 or more.
        slots: Fold runs at once, 1 or more; None means as many as there are CPUs.
        progress: Whether to show a live table; None means on a terminal or in a notebook.
        data_dir: Where a server that is started keeps everything; None means a temporary folder.
        **fields: More of what a study file has, such as ``search={"algorithm": "random"}``.

    Returns:
        The study, its best configuration, and all trials.

    Raises:
        InvalidArgument: the function or its metrics cannot be used, or there is no server and none can be started here.
        InvalidStudy: what was asked for makes no study; every violation is listed.
        RunFailed: no trial completed.
        ServerUnreachable: SEARCHD_ADDRESS is set, and nobody answers there.
    """
    refuse_while_imported("searchd.run")
    sent = portable(trainable, metrics, default)
    data = _dataset(dataset)
    definition = {
        **fields,
        "trainable": sent.name,
        "evaluation": _with(fields, "evaluation", folds=folds, epochs=epochs),
        "budget": _with(fields, "budget", trials=trials, slots=slots),
        **({} if data is None else {"dataset": data}),
        **({} if space is None else {"search_space": written_space(space)}),
    }
    with _server(data, data_dir) as address, Client(address) as client:
        handle = client.create_study(definition, code=sent.files)
        return _outcome(handle, handle.wait(progress=progress))


def _with(fields: Mapping[str, Any], section: str, **given: int | None) -> dict[str, Any]:
    """A section of the definition with the arguments that have a name of their own."""
    return {**(fields.get(section) or {}), **{name: value for name, value in given.items() if value is not None}}


def _dataset(dataset: str | os.PathLike[str] | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A dataset as a study file writes it: a text that could be a path names a file, any other a bundled one."""
    if dataset is None:
        return None
    if not isinstance(dataset, Mapping):
        path = Path(dataset)
        is_file = isinstance(dataset, os.PathLike) or path.suffix or len(path.parts) > 1
        dataset = {"uri": str(path)} if is_file else {"builtin": str(dataset)}
    return {**dataset, "uri": str(Path(dataset["uri"]).absolute())} if "uri" in dataset else dataset


@contextmanager
def _server(data: Mapping[str, Any] | None, data_dir: str | os.PathLike[str] | None) -> Iterator[str]:
    """The address of a server on this machine, which is started and ended if there is none."""
    told = os.environ.get("SEARCHD_ADDRESS")
    address = told or DEFAULT_ADDRESS
    if not all(is_loopback(part.strip()) for part in address.split(",")):
        remedy = "unset it, and a server is started here, or go through a tunnel on this machine"
        raise InvalidArgument("SEARCHD_ADDRESS", f"{address} is on another machine, and code is not sent there", remedy)
    try:
        with Client(address) as client:
            client.server_info()
    except ServerUnreachable:
        if told:
            raise
        roots = [] if data is None or "uri" not in data else ["--data-root", str(Path(data["uri"]).parent)]
        with _own_server(data_dir, roots) as started:
            yield started
    else:
        yield address


@contextmanager
def _own_server(data_dir: str | os.PathLike[str] | None, options: Sequence[str]) -> Iterator[str]:
    if threading.current_thread() is not threading.main_thread():
        reason = "no server answers here, and one can only be started from the main thread"
        raise InvalidArgument("searchd.run", reason, "call it there, or start a server: searchd up")
    try:
        from searchd.cli.child_server import child_server
        from searchd.cli.shutdown import end_everything
    except ImportError as error:
        reason = f"no server answers here, and to start one {error.name} is missing"
        raise InvalidArgument("searchd.run", reason, "pip install 'searchd[server]'") from error
    if data_dir is not None:
        Path(data_dir).mkdir(parents=True, exist_ok=True)
        with child_server(Path(data_dir), options, end_everything) as address:
            yield address
    else:
        with (
            TemporaryDirectory(prefix="searchd-run-", ignore_cleanup_errors=True) as temporary,
            child_server(Path(temporary), options, end_everything) as address,
        ):
            yield address


def _outcome(handle: StudyHandle, study: Study) -> Run:
    if not (study.progress.rungs and study.progress.rungs[-1]):
        failed = list(islice(handle.trials(TrialState.FAILED), 1))
        reason = study.reason or f"it ended {study.state.name}"
        raise RunFailed(study.id, reason, failed[0].log_tail if failed else "")
    return Run(study, handle.best(), tuple(handle.trials()))
