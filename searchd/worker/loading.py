"""Finds trainables by their registered names."""

import importlib
import importlib.metadata
from collections.abc import Sequence

from searchd.domain.errors import TrainableNotFound
from searchd.trainable import Registration, registered

ENTRY_POINTS = "searchd.trainables"
"""Group of installed entry points, each the registered name of a trainable and the module that registers it."""


def installed_modules() -> dict[str, str]:
    """Modules by the trainable's name, from the installed entry points."""
    return {point.name: point.module for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def load_trainable(name: str, modules: Sequence[str], installed: bool) -> Registration:
    """The trainable of that name; imports no more than it must.

    Args:
        name: Registered name.
        modules: Modules that register trainables; they are imported in order until one registers the name.
        installed: Whether to look among the installed entry points first.

    Raises:
        TrainableNotFound: none of the modules registers it.
        Exception: whatever importing a module raises.
    """
    if name in registered():
        return registered()[name]
    if installed and (module := installed_modules().get(name)) is not None:
        importlib.import_module(module)
    for module in modules:
        if name in registered():
            break
        importlib.import_module(module)
    if name not in registered():
        raise TrainableNotFound(name, sorted(registered()))
    return registered()[name]
