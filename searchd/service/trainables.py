"""What can be tuned."""

import asyncio
from collections.abc import Sequence
from difflib import get_close_matches

from searchd.domain.card import Card
from searchd.domain.errors import TrainableNotFound
from searchd.ports.catalog import Catalog


class Trainables:
    """Use cases of trainables."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

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
