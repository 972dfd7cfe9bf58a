"""The catalog of trainables that reads their cards in a process of its own."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from searchd.domain.card import Card
from searchd.domain.code import IMPORTED_FOR_CARDS
from searchd.domain.errors import InvalidArgument
from searchd.worker.card_json import card_from_json
from searchd.worker.card_memory import CardMemory
from searchd.worker.sources import Stamp, stamp

_TIME_LIMIT = timedelta(minutes=2)

_logger = logging.getLogger(__name__)


class SubprocessCatalog:
    """Implements searchd.ports.catalog.Catalog. Thread-safe: while one call reads, others wait for what it finds."""

    def __init__(self, modules: Sequence[str], search_path: Sequence[str], installed: bool) -> None:
        """Name the modules; nothing is read yet.

        Args:
            modules: Modules that register trainables. All must be importable at first.
            search_path: Folders in which to look for them before the usual ones.
            installed: Whether to read the installed entry points too; those that cannot be imported are left out with
                a warning, since nobody asked for them.
        """
        self._lock = threading.Lock()
        # Each is read in a process of its own: an edited module must not wait for the import of all the others.
        sources = [_Source(None, search_path)] if installed else []
        self._sources = [*sources, *(_Source(module, search_path) for module in modules)]
        self._begun = False

    def cards(self) -> Mapping[str, Card]:
        """See Catalog."""
        with self._lock:
            merged: dict[str, Card] = {}
            broken: InvalidArgument | None = None
            for source in self._sources:
                try:
                    merged.update(_distinct(source, source.cards(), merged))
                except InvalidArgument as error:
                    if not self._begun:
                        raise
                    broken = broken or error
            self._begun = True
            return Cards(merged, broken)


class Cards(Mapping[str, Card]):
    """Cards by name, of which some names cannot be told.

    Args:
        cards: Those that are known.
        broken: What is wrong with a module, if one is broken: any name that is missing may be one of its own.
        twice: What is wrong with names that two modules register.
    """

    def __init__(
        self,
        cards: Mapping[str, Card],
        broken: InvalidArgument | None,
        twice: Mapping[str, InvalidArgument] = MappingProxyType({}),
    ) -> None:
        self._cards = cards
        self._broken = broken
        self._twice = twice

    def __getitem__(self, name: str) -> Card:
        wrong = self._twice.get(name) if name in self._cards else self._broken
        if wrong is not None:
            # A new one: the traceback would grow with each time that the same is raised.
            raise InvalidArgument(*wrong.args)
        return self._cards[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)


class _Source:
    """The cards of one module, or (module None) of all installed trainables, as of their newest files."""

    def __init__(self, module: str | None, search_path: Sequence[str]) -> None:
        self.module = module
        self._search_path = tuple(search_path)
        self._cards: Mapping[str, Card] = {}
        self._broken: InvalidArgument | None = None
        self._stamps: Mapping[str, Stamp] | None = None

    def cards(self) -> Mapping[str, Card]:
        """The cards, read again if a file has changed, or none is known.

        Raises:
            InvalidArgument: the module cannot be imported.
        """
        # Before the reading, so that a change during it is noticed later.
        now = {file: stamp(Path(file)) for file in self._stamps or ()}
        if self._stamps is None or now != self._stamps:
            try:
                self._broken = None
                self._read(now)
            except InvalidArgument as error:
                _logger.warning("trainables cannot be read: %s", error)
                self._broken = error
        if self._broken is not None:
            raise InvalidArgument(*self._broken.args)
        return self._cards

    def _read(self, before: Mapping[str, Stamp]) -> None:
        # If this fails, it is tried again once one of the files changes that it had, or has now.
        self._stamps = before or None
        document = self._document()
        self._stamps = {**before, **document["stamps"]} or None
        for module, reason in document["errors"].items():
            if module == self.module:
                raise InvalidArgument(module, reason, "mend the module, or take it off the server's --trainables")
            _logger.warning("installed trainables in %s are left out: %s", module, reason)
        self._cards = {card["name"]: card_from_json(card) for card in document["cards"]}
        self._stamps = document["stamps"]

    def _document(self) -> Mapping[str, Any]:
        if self.module is not None:
            return imported([self.module], self._search_path)
        return CardMemory(self._search_path).document(lambda: imported([], self._search_path, installed=True))


def imported(modules: Sequence[str], search_path: Sequence[str], *, installed: bool = False) -> dict[str, Any]:
    """What ``searchd.worker.cards`` finds in modules, in a process of its own: the document that it prints.

    Args:
        modules: To be imported, in this order.
        search_path: Folders in which to look for them before the usual ones.
        installed: Whether to read the installed entry points too.

    Raises:
        InvalidArgument: the process came to no end, or to a bad one.
    """
    path = os.pathsep.join([*search_path, *filter(None, [os.environ.get("PYTHONPATH")])])
    # -P: the folder in which the server happens to run is not searched, as it is not by workers.
    command = [sys.executable, "-P", "-m", "searchd.worker.cards", *(["--installed"] if installed else []), "--"]
    try:
        done = subprocess.run(  # noqa: S603  # no shell, and modules are named, not written, by callers
            [*command, *modules],
            env={**os.environ, "PYTHONPATH": path, IMPORTED_FOR_CARDS: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT.total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"importing them takes longer than {_TIME_LIMIT.total_seconds():g} s"
        raise InvalidArgument("trainables", reason, "make the modules import faster") from None
    if done.returncode != 0:
        last = (done.stderr.strip().rsplit("\n", 1)[-1:] or [""])[0]
        reason = f"importing them ended the process with code {done.returncode}: {last}"
        raise InvalidArgument("trainables", reason, "let the modules only define and register trainables")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _distinct(source: _Source, cards: Mapping[str, Card], others: Mapping[str, Card]) -> Mapping[str, Card]:
    """The cards of a source.

    Raises:
        InvalidArgument: another source has registered one of the names with other code.
    """
    for name, card in cards.items():
        if name in others and others[name].code != card.code:
            reason = f"it registers {name!r}, which another module registers too"
            raise InvalidArgument(source.module or "trainables", reason, "rename one of the two")
    return cards
