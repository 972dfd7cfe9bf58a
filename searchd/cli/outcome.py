"""Following a study of one's own to its end, and showing what came of it."""

from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.output import show_line, show_lines, width
from searchd.cli.rankings import remarks, yaml_line
from searchd.client import BestConfig, Study, StudyHandle, Trial
from searchd.client.lines import event_line
from searchd.client.live import live_console, show_live
from searchd.client.progress import ranking
from searchd.domain.study import StudyState

TOP = 8


def see_through(handle: StudyHandle) -> tuple[Study, BestConfig]:
    """Show a study until it has ended, live on a terminal, then its ranking and its best configuration.

    Raises:
        CommandFailed: it has not succeeded.
    """
    console = live_console(None)
    study = show_live(handle, handle.watch(), console) if console is not None else _followed(handle)
    if study.state is not StudyState.SUCCEEDED:
        raise CommandFailed(f"the study ended {study.state.name}: {study.reason}", ExitCode.FAILED)
    found = handle.best()
    show_line("")
    if console is None:  # else the live view has left it there
        show_lines([*ranking(study, list(handle.leaderboard(TOP)), width()), ""])
    show_line("\n".join([*remarks(found), yaml_line(found.params)]))
    show_line("")
    return study, found


def _followed(handle: StudyHandle) -> Study:
    """A line for each trial that got somewhere."""
    reached: dict[int, int] = {}
    for event in handle.watch():
        match event.value:
            case Trial() as trial if trial.state.ended or len(trial.rung_scores) > reached.get(trial.number, 0):
                reached[trial.number] = len(trial.rung_scores)
            case Study():
                pass
            case _:
                continue
        line = event_line(event)
        if line is not None:
            show_line(line)
    return handle.get()
