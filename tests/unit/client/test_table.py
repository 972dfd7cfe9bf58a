"""A list that is read page by page."""

import pytest

from searchd.client.table import Table, complete


class Pages:
    """Three pages of two numbers; the second one cannot be read at first."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[str] = []
        self.failures = failures

    def __call__(self, token: str) -> tuple[list[int], str]:
        self.asked.append(token)
        start = int(token or 0)
        if start == 2 and self.failures:
            self.failures -= 1
            raise ConnectionError
        return [start, start + 1], str(start + 2) if start < 4 else ""


def row(number: int) -> dict[str, int]:
    return {"number": number, "params.square": number * number}


def test_pages_are_read_when_they_are_needed_and_once() -> None:
    """The first item costs one page; the length costs all; nothing is read again."""
    pages = Pages()
    table = Table(pages, row)
    assert table[0] == 0
    assert pages.asked == [""]
    assert len(table) == 6
    assert list(table) == [0, 1, 2, 3, 4, 5]
    assert table[-1] == 5
    assert table[1:3] == [1, 2]
    assert pages.asked == ["", "2", "4"]
    with pytest.raises(IndexError):
        table[6]


def test_a_page_that_failed_is_asked_for_again() -> None:
    """An error in the middle does not make the list end there."""
    table = Table(Pages(failures=1), row)
    with pytest.raises(ConnectionError):
        list(table)
    assert list(table) == [0, 1, 2, 3, 4, 5]


def test_a_data_frame_has_a_row_for_each_item() -> None:
    """Columns are the rows' keys."""
    frame = Table(complete([2, 3]), row).to_pandas()
    assert frame.to_dict("list") == {"number": [2, 3], "params.square": [4, 9]}
    assert Table(complete([]), row).to_pandas().empty
