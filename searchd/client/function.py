"""A function of the caller's own as code that a server can import.

One from a file goes as that file with what it imports from its folder: it stays readable, has the same id every time,
and a traceback shows its lines. One that no import leads to, from a notebook or from inside another function, goes as a
pickle by value (cloudpickle's): it takes along the functions, classes and values of other cells that it uses, which its
own source alone would lack.
"""

import base64
import inspect
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from searchd.client.code import packed_module
from searchd.domain.code import SourceFile, check_files
from searchd.domain.errors import InvalidArgument
from searchd.domain.space import Parameter, ParameterValue, ordered
from searchd.trainable import ParameterSpec, Registration, registered
from searchd.v1 import study_pb2
from searchd.wire.spaces import encode_space
from searchd.wire.study_mapping import study_to_mapping

ENTRY = "searchd_run_entry"
"""Name of the module that registers what is not registered by a file of the caller's."""

_REGISTERS = """\
\"\"\"Registers a function that searchd.run was given.\"\"\"

from searchd.trainable import trainable

from {module} import {name}

trainable(**{options!r})({name})
"""

_UNPICKLES = """\
\"\"\"Registers what searchd.run was given in a notebook.\"\"\"

import base64
import pickle
import sys

from searchd.trainable import register, trainable

if sys.version_info[:2] != {version!r}:
    raise RuntimeError(
        "it was sent by Python {version[0]}.{version[1]}, whose pickles fit no other version: "
        "put the function into a file, or let the server run by the same Python"
    )
function, form, options = pickle.loads(base64.b64decode({pickled!r}))
if form == "generator":
    trainable(**options)(function)
else:
    register(function, **options)
"""


@dataclass(frozen=True, slots=True)
class Portable:
    """A trainable as it is sent: the name that it is registered by, and the files that register it."""

    name: str
    files: tuple[SourceFile, ...]


def portable(
    function: Callable[..., Any], metrics: Mapping[str, str] | None, default: Mapping[str, ParameterValue] | None
) -> Portable:
    """What to send for a trainable.

    Args:
        function: A generator function, or whatever has been registered.
        metrics: What it yields, with ``"maximize"`` or ``"minimize"``, unless it is registered.
        default: Its default configuration, unless it is registered; None if there is none.

    Raises:
        InvalidArgument: it is no generator function, it declares its metrics twice or not at all, or it cannot be sent.
    """
    found = next((r for r in registered().values() if r.target is function), None)
    if found is not None and (metrics is not None or default is not None):
        which = "metrics" if metrics is not None else "default"
        raise InvalidArgument(which, f"{found.name} declares its own", "leave it out, or the decorator")
    if found is None:
        _check(function, metrics)
    name = function.__name__ if found is None else found.name
    options = (
        _options(found) if found is not None else {"metrics": dict(metrics or {}), "default": default, "name": name}
    )
    home = _home(function)
    if home is None or "." in function.__qualname__:
        entry = _pickled(function, "generator" if found is None else found.form.value, options)
        own = () if home is None else packed_module(*home)
        return Portable(name, _with_entry((*own, *_neighbours()), entry))
    files = packed_module(*home)
    if found is None:
        files = _with_entry(files, _REGISTERS.format(module=home[1], name=function.__name__, options=options))
    return Portable(name, files)


def written_space(space: Mapping[str, Any]) -> dict[str, Any]:
    """A search space as a study file has it, from one in Python's terms, the file's, or both."""
    specs = [Parameter(name, spec.domain, spec.when) for name, spec in space.items() if isinstance(spec, ParameterSpec)]
    message = study_pb2.Study(search_space=encode_space(ordered(specs)))
    written: dict[str, Any] = study_to_mapping(message).get("search_space", {})
    return {name: written.get(name, domain) for name, domain in space.items()}


def _check(function: Callable[..., Any], metrics: Mapping[str, str] | None) -> None:
    name = getattr(function, "__name__", repr(function))
    if not inspect.isgeneratorfunction(function):
        reason = f"{name} is no generator function and is not registered"
        raise InvalidArgument("trainable", reason, "let it yield its metrics once per epoch")
    if not metrics:
        remedy = f"decorate {name} with @trainable(metrics=...), or give metrics={{'accuracy': 'maximize'}} here"
        raise InvalidArgument("metrics", f"{name} declares none", remedy)


def _options(found: Registration) -> dict[str, Any]:
    """What ``trainable`` or ``register`` was told."""
    options: dict[str, Any] = {
        "metrics": {metric: goal.value for metric, goal in found.metrics.items()},
        "space": {p.name: ParameterSpec(p.domain, p.when) for p in found.space.parameters},
        "default": found.default,
        "name": found.name,
        "folds": found.folds,
    }
    if found.form == "generator":
        options |= {"checkpoints": found.checkpoints, "gradients": found.gradients}
    return options


def _home(function: Callable[..., Any]) -> tuple[Path, str] | None:
    """The folder and the name by which its module can be imported; None if it cannot: in a notebook, say."""
    origin = getattr(sys.modules.get(function.__module__), "__file__", None)
    if origin is None or not origin.endswith(".py"):
        return None
    file = Path(origin).resolve()
    if function.__module__ == "__main__":
        return (file.parent, file.stem) if file.stem.isidentifier() else None
    parts = function.__module__.split(".")
    below = len(parts) - (file.name != "__init__.py")
    return file.parents[below], function.__module__


def _with_entry(files: Iterable[SourceFile], entry: str) -> tuple[SourceFile, ...]:
    by_path = {file.path: file for file in (*files, SourceFile(f"{ENTRY}.py", entry.encode()))}
    sent = tuple(by_path[path] for path in sorted(by_path))
    check_files(sent)
    return sent


def _pickled(function: Callable[..., Any], form: str, options: Mapping[str, Any]) -> str:
    """The entry module that has the function as a pickle."""
    try:
        import cloudpickle  # noqa: PLC0415  # the base install does without
    except ImportError:
        reason = f"{function.__name__} is in no file of its own, and cloudpickle is not installed"
        raise InvalidArgument("trainable", reason, "put it into a file, or pip install cloudpickle") from None
    try:
        pickled = cloudpickle.dumps((function, form, dict(options)))
    except (pickle.PicklingError, TypeError, ValueError, RecursionError) as error:
        reason = f"{function.__name__} uses something that cannot be sent: {error}"
        raise InvalidArgument("trainable", reason, "make it inside of the function") from error
    return _UNPICKLES.format(version=tuple(sys.version_info[:2]), pickled=base64.b64encode(pickled).decode())


def _neighbours() -> Iterator[SourceFile]:
    """The files of modules of the working directory that are imported: a pickle only names what is in them."""
    here = Path.cwd().resolve()
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
        if origin is None or name == "__main__" or "." in name or not origin.endswith(".py"):
            continue
        file = Path(origin).resolve()
        if here in (file.parent, file.parent.parent) and name in (file.stem, file.parent.name):
            yield from packed_module(here, name)
