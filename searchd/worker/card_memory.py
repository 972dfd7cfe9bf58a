"""Cards of installed trainables, remembered from server to server: to read them takes importing PyTorch and more."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from searchd.worker.sources import stamp

Document = dict[str, Any]


class CardMemory:
    """What ``searchd.worker.cards`` said of installed trainables, in a file of this user's cache.

    It counts as long as no source file of theirs has changed, and no folder in which Python looks for modules, which do
    when a package comes, goes, or becomes another version.

    Args:
        search_path: Folders in which to look for modules before the usual ones.
    """

    def __init__(self, search_path: Sequence[str]) -> None:
        self._folders = [*search_path, *sys.path]
        asked = [sys.executable, sys.version, *self._folders]
        name = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = home / "searchd" / f"cards-{name}.json"

    def document(self, read: Callable[[], Document]) -> Document:
        """The document, from memory if it still holds, else read and remembered.

        One that tells of a module which cannot be imported is not remembered, nor is any where the cache cannot be
        written to.

        Args:
            read: Reads it; raises what it likes.
        """
        around = [stamp(Path(folder)) for folder in self._folders]
        known = self._known()
        if known.get("around") == around and _unchanged(known["document"]):
            found: Document = known["document"]
            return found
        document = read()
        if not document["errors"]:
            with suppress(OSError):
                self._write({"around": around, "document": document})
        return document

    def _known(self) -> Document:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, known: Document) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        half = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        half.write_text(json.dumps(known), encoding="utf-8")
        half.replace(self._file)


def _unchanged(document: Document) -> bool:
    return all(stamp(Path(file)) == before for file, before in document["stamps"].items())
