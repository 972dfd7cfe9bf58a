"""A staircase drawn with characters."""

from searchd.client.chart import staircase


def test_a_staircase_rises_where_the_value_does() -> None:
    """Nothing before the first point, the lowest value one eighth high, the highest at the top, labels at both."""
    assert staircase([(1, 0.0), (2, 0.5), (4, 1.0)], 19, ("1", "0")) == [
        "1 │               █",
        "  │               █",
        "  │               █",
        "  │       ▁▁▁▁▁▁▁▁█",
        "  │       █████████",
        "  │       █████████",
        "  │       █████████",
        "0 │   ▁▁▁▁█████████",
        "  └────────────────",
    ]


def test_a_value_that_falls_is_drawn_falling() -> None:
    """What gets smaller goes down, and the last place shows the last value."""
    lines = staircase([(0, 8.0), (1, 1.0)], 24, ("8", "1"))
    assert lines[0].count("█") == lines[-2].count("█") > 15
    assert lines[-2].endswith("▁")


def test_one_value_fills_the_picture_and_has_one_label() -> None:
    """A value that never changed is drawn, wherever it stands, even at 0."""
    lines = staircase([(0, 3.0)], 20, ("3", "3"))
    assert all(line.endswith("█" * 17) for line in lines[:-1])
    assert [line[0] for line in lines[:2]] == ["3", " "]
    assert lines[-2][0] == " "
