"""Pages of lists."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchd.domain.errors import InvalidArgument
from searchd.rpc.paging import Pages, fill_page, size_of
from searchd.v1.trial_pb2 import Measurement


def test_the_size_of_a_page_is_as_asked_up_to_the_largest() -> None:
    """0 means 100, more than the largest means the largest, and a negative size is refused."""
    assert [size_of(size, 1000) for size in (0, 7, 1000, 5000)] == [100, 7, 1000, 1000]
    with pytest.raises(InvalidArgument, match="page_size: -1 is negative"):
        size_of(-1, 1000)


@given(st.text(max_size=100))
def test_a_token_carries_a_name(name: str) -> None:
    """The next page starts after the name that the token was made of."""
    pages = Pages("studies", "default", "")
    assert pages.after_text(pages.token(name)) == name


@given(st.lists(st.integers(0, 2**31 - 1), min_size=4, max_size=4))
def test_a_token_carries_numbers(numbers: list[int]) -> None:
    """The next page starts after the numbers that the token was made of."""
    pages = Pages("measurements", "x")
    assert pages.after_numbers(pages.token(numbers), 4) == tuple(numbers)


def test_no_token_means_the_first_page() -> None:
    """An empty token starts at the beginning."""
    assert Pages("studies").after_text("") is None
    assert Pages("trials").after_numbers("", 1) is None


def _forged(pages: Pages, key: object) -> str:
    query = json.loads(base64.urlsafe_b64decode(pages.token(0) + "=="))[0]
    return base64.urlsafe_b64encode(json.dumps([query, key]).encode()).decode()


@pytest.mark.parametrize("key", ["a", 1, [1, 2], [-1], [2**31], [True], [1.5], None, {}])
def test_a_token_with_another_key_is_refused(key: object) -> None:
    """A token is checked down to its numbers, so that no forged one reaches the store."""
    pages = Pages("trials", "x", "")
    with pytest.raises(InvalidArgument, match="page_token: is not of this list"):
        pages.after_numbers(_forged(pages, key), 1)


@pytest.mark.parametrize("token", ["x", "????", "é", "W10", "W1" * 2000, "null", base64.b64encode(b"[" * 700).decode()])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    """Whatever else comes as a token is refused, and nothing is raised that has no status."""
    for read in (Pages("studies").after_text, lambda token: Pages("trials").after_numbers(token, 1)):
        with pytest.raises(InvalidArgument, match="page_token: is not of this list"):
            read(token)


def test_a_token_of_another_query_is_refused() -> None:
    """A token goes with the parent and the filter that it was made for."""
    token = Pages("studies", "default", "state=RUNNING").token("a")
    with pytest.raises(InvalidArgument, match="same parent and filter"):
        Pages("studies", "default", "").after_text(token)


def test_a_page_ends_at_its_size_or_at_its_bytes() -> None:
    """A page is full at its size, ends early when bytes run out, holds one item at least, and says if more follow."""

    def encode(epoch: int) -> Measurement:
        return Measurement(epoch=epoch, metrics={"x" * 100: 1.0})

    def page(items: int, size: int, max_bytes: int) -> tuple[int, bool]:
        messages, more = fill_page(range(items), size, encode, max_bytes)
        return len(messages), more

    assert page(3, 3, 10_000) == (3, False)
    assert page(4, 3, 10_000) == (3, True)
    assert page(3, 3, 300) == (2, True)
    assert page(3, 3, 1) == (1, True)
    assert page(1, 3, 1) == (1, False)
    assert page(0, 3, 1) == (0, False)
