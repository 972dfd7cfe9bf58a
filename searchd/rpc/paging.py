"""Pages of lists: sizes, opaque tokens, and answers that stay below the largest message."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from searchd.domain.errors import InvalidArgument

DEFAULT_PAGE = 100
LARGEST_KEY = 2**31 - 1
MAX_TOKEN_CHARACTERS = 1000

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def size_of(page_size: int, largest: int) -> int:
    """How many items a page may have: as asked, but at most ``largest``; 0 means 100.

    Raises:
        InvalidArgument: it is negative.
    """
    if page_size < 0:
        raise InvalidArgument("page_size", f"{page_size} is negative", f"use 1 to {largest}, or 0 for {DEFAULT_PAGE}")
    return min(page_size or DEFAULT_PAGE, largest)


class Pages:
    """The tokens of one query, identified by everything in it that must stay the same from page to page."""

    def __init__(self, *query: str) -> None:
        self._query = hashlib.sha256(json.dumps(query).encode()).hexdigest()[:16]

    def token(self, after: str | int | Sequence[int]) -> str:
        """The token of the page that starts after this key."""
        text = json.dumps([self._query, after], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def after_text(self, token: str) -> str | None:
        """The key in a token as text; None without a token.

        Raises:
            InvalidArgument: the token is not of this query.
        """
        key: str | None = self._after(token, lambda key: isinstance(key, str))
        return key

    def after_numbers(self, token: str, count: int) -> tuple[int, ...] | None:
        """The key in a token as ``count`` numbers from 0; None without a token.

        Raises:
            InvalidArgument: the token is not of this query.
        """
        key = self._after(token, lambda key: isinstance(key, list) and len(key) == count and all(map(_is_key, key)))
        return None if key is None else tuple(key)

    def _after(self, token: str, right: Callable[[Any], bool]) -> Any:
        if not token:
            return None
        try:
            if len(token) > MAX_TOKEN_CHARACTERS:
                raise ValueError("too long")
            padded = token + "=" * (-len(token) % 4)
            query, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, TypeError, RecursionError):
            query = key = None
        if query != self._query or not right(key):
            remedy = "send the next_page_token of the answer before, with the same parent and filter, or none"
            raise InvalidArgument("page_token", "is not of this list", remedy)
        return key


def fill_page(items: Sequence[T], size: int, encode: Callable[[T], M], max_bytes: int) -> tuple[list[M], bool]:
    """The messages of a page, and whether more follow.

    Args:
        items: One more than ``size`` if there are that many.
        size: Most messages of a page, at least 1.
        encode: Makes the message of an item.
        max_bytes: The page ends early rather than grow beyond; but it holds at least one message.
    """
    page: list[M] = []
    room = max_bytes
    for item in items[:size]:
        message = encode(item)
        room -= message.ByteSize() + 8
        if page and room < 0:
            return page, True
        page.append(message)
    return page, len(items) > len(page)


def _is_key(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_KEY
