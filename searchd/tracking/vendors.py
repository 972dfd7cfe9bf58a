"""Which sinks a study may name, what has to be installed for them, and how they are opened. Imports no vendor."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from searchd.domain.errors import Violation
from searchd.domain.study import Study
from searchd.tracking.sink import Sink, Surroundings

REMEDY = 'pip install "searchd[tracking]"'


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a sink needs, and where it is.

    Attributes:
        package: As Python imports it.
        module: Ours that knows it; has ``open_sink(study, around)``.
    """

    package: str
    module: str


SINKS: Mapping[str, Vendor] = {
    "tensorboard": Vendor("tensorboard", "searchd.tracking.tensorboard"),
    "mlflow": Vendor("mlflow", "searchd.tracking.mlflow"),
    "wandb": Vendor("wandb", "searchd.tracking.wandb"),
}


def track_violations(names: Sequence[str]) -> Iterator[Violation]:
    """Why a study cannot be shown in the places that it names."""
    for index, name in enumerate(names):
        path = f"track[{index}]"
        if name not in SINKS:
            close = difflib.get_close_matches(name.lower(), SINKS, 1)
            remedy = f"did you mean {close[0]}?" if close else f"use {', '.join(SINKS)}"
            yield Violation(path, f"{name!r} is no place to track a study in", remedy)
        elif find_spec(SINKS[name].package) is None:
            yield Violation(path, f"{name} needs a package that the server does not have", f"{REMEDY} there")


def open_sink(name: str, study: Study, around: Surroundings) -> Sink:
    """A sink of one study; ``name`` is one of SINKS. The vendor is imported here.

    Raises:
        ImportError: the vendor is not installed.
        Exception: whatever the vendor raises when it cannot be used.
    """
    opened: Callable[[Study, Surroundings], Sink] = import_module(SINKS[name].module).open_sink
    return opened(study, around)
