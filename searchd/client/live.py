"""A live view of a study on a terminal or in a notebook."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.text import Text

from searchd.client.handle import StudyHandle
from searchd.client.progress import Picture
from searchd.client.views import Study
from searchd.client.watch import Deleted, Event
from searchd.domain.study import Progress

RANKED = 8
REFRESHES_PER_SECOND = 4
RANKING_EVERY = timedelta(seconds=1)


def live_console(progress: bool | None) -> Console | None:
    """Where to show progress: True shows it in any case, None only on a terminal or in a notebook, False never."""
    if progress is False:
        return None
    console = Console(highlight=False)
    return console if progress or console.is_terminal or console.is_jupyter else None


def show_live(study: StudyHandle, events: Iterator[Event], console: Console) -> Study:
    """Show the study until it has ended; the last picture stays.

    Args:
        study: The study.
        events: Its watch.
        console: Where to.

    Returns:
        The study as it ended.

    Raises:
        SearchdError: what the watch raises, and StudyNotFound if the study was deleted meanwhile.
    """
    picture = Picture(study.get())
    with Live(
        get_renderable=lambda: rendered(picture, datetime.now(UTC), console.width),
        console=console,
        refresh_per_second=REFRESHES_PER_SECOND,
    ) as live:
        follow(study, events, picture, monotonic)
        live.refresh()
    return picture.study


def follow(study: StudyHandle, events: Iterator[Event], picture: Picture, clock: Callable[[], float]) -> None:
    """Keep the picture up to date until the study has ended; the ranking is read at most once a second."""
    next_ranking = 0.0
    for event in events:
        picture.add(event)
        if (isinstance(event.value, Study) and event.value.state.ended) or isinstance(event.value, Deleted):
            break
        if isinstance(event.value, Progress) and event.value.rungs and clock() >= next_ranking:
            picture.entries = list(study.leaderboard(RANKED))
            next_ranking = clock() + RANKING_EVERY.total_seconds()
    picture.study = study.get()
    picture.entries = list(study.leaderboard(RANKED))


def rendered(picture: Picture, now: datetime, width: int) -> Text:
    """The picture for rich; the first line stands out."""
    text = Text("\n".join(picture.lines(now, width)), no_wrap=True, overflow="crop")
    text.stylize("bold", 0, text.plain.find("\n") if "\n" in text.plain else len(text.plain))
    return text
