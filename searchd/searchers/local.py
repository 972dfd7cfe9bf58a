"""The searchers of all studies in the caller's own process and thread, for simulation and tests."""

from collections.abc import Callable

from searchd.ports.searcher import SearchCommand
from searchd.searchers.host import Answer, Desk


class LocalSearchers:
    """Answers at once: ``deliver`` is called before ``perform`` returns."""

    def __init__(self, deliver: Callable[[Answer], None]) -> None:
        self._deliver = deliver
        self._desk = Desk()

    def perform(self, command: SearchCommand) -> None:
        """Carry out a command and deliver its answer, if it has one."""
        answer = self._desk.handle(command)
        if answer is not None:
            self._deliver(answer)

    def close(self) -> None:
        """There is nothing to end."""
