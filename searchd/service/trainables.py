"""What can be tuned."""

import asyncio
from collections.abc import Sequence

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
            raise TrainableNotFound(name, sorted(cards))
        return cards[name]
