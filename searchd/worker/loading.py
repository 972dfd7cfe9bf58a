"""Finds trainables by their registered names."""

import importlib
import importlib.metadata
import logging
from collections.abc import Sequence

from searchd.domain.errors import SearchdError, TrainableNotFound
from searchd.trainable import Registration, registered
from searchd.worker.sources import fingerprint, source_files

ENTRY_POINTS = "searchd.trainables"
"""Group of installed entry points, each the registered name of a trainable and the module that registers it."""

_logger = logging.getLogger(__name__)


class CodeChanged(SearchdError):  # noqa: N818  # named for what went wrong
    """No module has the code that a study was created with; ``found`` are the fingerprints that there are."""

    def __init__(self, expected: str, found: Sequence[str]) -> None:
        super().__init__(expected, tuple(found))
        self.expected = expected
        self.found = tuple(found)

    def __str__(self) -> str:
        return (
            f"the trainable's code has changed: the study was created with {self.expected}, found is "
            f"{' and '.join(self.found) or 'none'}; put the files back, or create another study"
        )


class Trainables:
    """The trainables that a worker may run: those of the module whose code is its pool's, and of no other.

    Args:
        code: Fingerprint of that module, as its card has it.
        modules: Modules that register trainables.
        installed: Whether it may be one of the installed entry points' modules too.
    """

    def __init__(self, code: str, modules: Sequence[str], installed: bool) -> None:
        self._code = code
        self._modules = modules
        self._installed = installed
        self._found: list[str] = []
        self._verified: set[str] = set()

    def prepare(self) -> None:
        """Find the module, unless it has been found, and import it. If it cannot be imported, ``load`` will say so.

        Raises:
            CodeChanged: there is none with that code.
        """
        if self._found:
            return
        installed = installed_modules().values() if self._installed else ()
        codes = {module: fingerprint(source_files(module)) for module in (*self._modules, *installed)}
        self._found = [module for module, code in codes.items() if code == self._code]
        if not self._found:
            raise CodeChanged(self._code, sorted(set(codes.values())))
        try:
            self._import()
        except CodeChanged:
            raise
        except BaseException:
            _logger.warning("%s cannot be imported", self._found, exc_info=True)

    def load(self, name: str) -> Registration:
        """The trainable of that name.

        Raises:
            CodeChanged: there is no module with that code.
            TrainableNotFound: it registers no such name.
            Exception: whatever importing it raises.
        """
        self.prepare()
        self._import()
        return _registration(name)

    def _import(self) -> None:
        for module in self._found:
            if module not in self._verified:
                importlib.import_module(module)
                # Looked at again: somebody may have saved the file since, and it is not known which one was imported.
                code = fingerprint(source_files(module))
                if code != self._code:
                    raise CodeChanged(self._code, [code])
                self._verified.add(module)


def installed_modules() -> dict[str, str]:
    """Modules by the trainable's name, from the installed entry points."""
    return {point.name: point.module for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def load_trainable(name: str, modules: Sequence[str], installed: bool) -> Registration:
    """The trainable of that name, whatever its code is; imports no more than it must.

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
    return _registration(name)


def _registration(name: str) -> Registration:
    if name not in registered():
        raise TrainableNotFound(name, sorted(registered()))
    return registered()[name]
