"""Text in columns that fits the width there is."""

from searchd.client.grid import Column, grid

COLUMNS = [Column("name", cut=True), Column("n", right=True), Column("lr", optional=True), Column("mom", optional=True)]


def test_columns_line_up() -> None:
    """Numbers to the right, text to the left, no trailing blanks, a single text on a line of its own."""
    assert grid(COLUMNS[:2], [["a", "1"], "partial", ["bcd", "200"]], 80) == [
        "name    n",
        "a       1",
        "  partial",
        "bcd   200",
    ]


def test_long_text_is_cut_before_columns_go_and_the_last_goes_first() -> None:
    """A narrow width first cuts what may be cut, then drops optional columns from the right, whose room it fills."""
    rows = [["a-very-long-name-indeed", "1", "3.1e-3", ".9"]]
    assert grid(COLUMNS, rows, 80)[1] == "a-very-long-name-indeed  1  3.1e-3  .9"
    assert grid(COLUMNS, rows, 30)[1] == "a-very-long-n…  1  3.1e-3  .9"
    assert grid(COLUMNS, rows, 20) == ["name       n  lr", "a-very-l…  1  3.1e-3"]
    assert grid(COLUMNS, rows, 12) == ["name       n", "a-very-l…  1"]


def test_a_table_without_rows_has_its_titles() -> None:
    """Nothing found still says what was looked for."""
    assert grid(COLUMNS[:2], [], 80) == ["name  n"]
