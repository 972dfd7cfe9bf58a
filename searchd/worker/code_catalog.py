"""The code that callers have sent, and the cards of what it registers."""

import errno
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from searchd.domain.card import Card
from searchd.domain.code import CodeId, SourceFile
from searchd.domain.errors import CodeNotFound, InvalidArgument, StoreFull, StoreUnavailable
from searchd.ports.clock import Clock
from searchd.worker.card_json import card_from_json
from searchd.worker.catalog import Cards, imported
from searchd.worker.code_folder import CodeFolders, declaring_modules

LATELY = timedelta(hours=1)
"""Code that nobody uses is kept for so long: a study that names it may be on its way."""

_logger = logging.getLogger(__name__)


class CodeCatalog:
    """Implements searchd.ports.code.CodeStore. Thread-safe.

    Args:
        storage: Root of the storage.
        clock: Tells how long ago code was used.
        search_path: Folders in which to look for modules after the code's own.
    """

    def __init__(self, storage: Path, clock: Clock, search_path: Sequence[str] = ()) -> None:
        self._clock = clock
        self._folders = CodeFolders(storage)
        self._search_path = tuple(search_path)
        self._known: dict[CodeId, Mapping[str, Card]] = {}

    def add(self, files: Sequence[SourceFile]) -> CodeId:
        """See CodeStore."""
        try:
            code = self._folders.put(files)
        except OSError as error:
            reason = f"the code cannot be kept: {error.strerror}"
            raise (StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable)(reason) from error
        self._touch(code)
        return code

    def cards(self, code: CodeId) -> Mapping[str, Card]:
        """See CodeStore."""
        self._touch(code)
        found = self._known.get(code)
        return found if found is not None else self._read(code)

    def discard(self, used: Callable[[CodeId], bool]) -> None:
        """See CodeStore."""
        for code in self._folders.ids():
            folder = self._folders.folder(code)
            try:
                lately = self._clock.now() - datetime.fromtimestamp(folder.stat().st_mtime, UTC) < LATELY
                if not lately and not used(code):
                    self._folders.delete(code)
                    self._known.pop(code, None)
            except OSError as error:  # it is looked at again when the next study is deleted
                _logger.warning("code %s cannot be deleted: %s", code, error)

    def _touch(self, code: CodeId) -> None:
        now = self._clock.now().timestamp()
        try:
            os.utime(self._folders.folder(code), (now, now))
        except FileNotFoundError:
            raise CodeNotFound(code) from None
        except OSError as error:
            raise StoreUnavailable(f"the code cannot be reached: {error.strerror}") from error

    def _read(self, code: CodeId) -> Mapping[str, Card]:
        folder = self._folders.folder(code)
        modules = declaring_modules(folder)
        if not modules:
            remedy = "decorate one: from searchd.trainable import trainable"
            raise InvalidArgument("code", "none of its files declares a trainable", remedy)
        document = imported(modules, (str(folder), *self._search_path))
        cards = {card["name"]: card_from_json(card) for card in document["cards"]}
        broken = {
            module: InvalidArgument(_file(folder, module), reason, "mend the file and send the code again")
            for module, reason in document["errors"].items()
        }
        twice = {name: broken[module] for name, module in document["taken"].items()}
        if not broken:  # else what is missing may be installed meanwhile
            self._known[code] = cards
        return Cards(cards, next(iter(broken.values()), None), twice)


def _file(folder: Path, module: str) -> str:
    """A module's file, as its author knows it."""
    path = Path(*module.split("."))
    return str(path / "__init__.py" if (folder / path).is_dir() else path.with_suffix(".py"))
