"""A list that is read page by page and turns into a data frame."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Fetch = Callable[[str], tuple[Sequence[T], str]]
"""Reads the page of a token (empty for the first): its items, and the next page's token or an empty one at the end."""


class Table(Sequence[T], Generic[T]):
    """Items in the server's order. Pages are fetched as they are needed; asking for the length fetches all.

    A page that could not be read is asked for again at the next access, so that a list is never silently cut short.

    Args:
        fetch: Reads a page.
        row: Turns an item into the columns of its row.
    """

    def __init__(self, fetch: Fetch[T], row: Callable[[T], dict[str, Any]]) -> None:
        self._fetch = fetch
        self._row = row
        self._items: list[T] = []
        self._token: str | None = ""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice) or index < 0:
            return list(self)[index]
        if not self._reach(index):
            raise IndexError(index)
        return self._items[index]

    def __iter__(self) -> Iterator[T]:
        index = 0
        while self._reach(index):
            yield self._items[index]
            index += 1

    def __len__(self) -> int:
        while self._token is not None:
            self._next_page(self._token)
        return len(self._items)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows; .to_pandas() makes a data frame>"

    def to_pandas(self) -> "pd.DataFrame":
        """A data frame with one row per item, shape (n_items, n_columns); parameters are columns ``params.<name>``."""
        import pandas as pd  # noqa: PLC0415  # a second of import time, needed only here

        return pd.DataFrame([self._row(item) for item in self])

    def _reach(self, index: int) -> bool:
        while len(self._items) <= index:
            if self._token is None:
                return False
            self._next_page(self._token)
        return True

    def _next_page(self, token: str) -> None:
        items, after = self._fetch(token)
        self._items.extend(items)
        self._token = after or None


def complete(items: Sequence[T]) -> Fetch[T]:
    """A single page that holds everything."""
    return lambda _token: (items, "")
