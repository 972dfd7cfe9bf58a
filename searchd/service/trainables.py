"""What can be tuned."""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches

from searchd.domain.card import Card
from searchd.domain.code import CodeId, SourceFile
from searchd.domain.errors import CodeRefused, TrainableNotFound
from searchd.ports.catalog import Catalog
from searchd.ports.code import CodeStore


class Trainables:
    """Use cases of trainables. Without ``code`` no code of callers is taken."""

    def __init__(self, catalog: Catalog, code: CodeStore | None = None) -> None:
        self._catalog = catalog
        self._code = code

    async def list(self) -> Sequence[Card]:
        """All cards in name order.

        Raises:
            InvalidArgument: a module cannot be imported.
        """
        cards = await asyncio.to_thread(self._catalog.cards)
        return [cards[name] for name in sorted(cards)]

    async def get(self, name: str) -> Card:
        """One card.

        Raises:
            TrainableNotFound: there is none of that name.
            InvalidArgument: a module cannot be imported.
        """
        cards = await asyncio.to_thread(self._catalog.cards)
        if name not in cards:
            # The nearest first: a client that is shown a few of many is shown those.
            raise TrainableNotFound(name, get_close_matches(name, cards, n=len(cards), cutoff=0))
        return cards[name]

    async def upload(self, files: Sequence[SourceFile]) -> CodeId:
        """Keep Python files for studies that name them; their id, which is the same for the same files.

        Raises:
            CodeRefused: no code of callers is taken.
            InvalidArgument: they cannot be put into one folder.
            StoreFull, StoreUnavailable: they cannot be kept.
        """
        if self._code is None:
            raise CodeRefused
        return await asyncio.to_thread(self._code.add, files)
