"""The searchers of all studies at one desk, and the child process that runs it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from searchd.ports.searcher import (
    Ask,
    CloseSearch,
    OpenSearch,
    SearchCommand,
    Searcher,
    SearchFailed,
    Suggested,
    Suggestion,
    Tell,
)
from searchd.searchers.factory import import_vendors, make_searcher, standing_still

Answer = Suggested | SearchFailed


class Desk:
    """Carries out commands one by one. A study whose searcher raised is closed; commands for it pass unheard."""

    def __init__(self, seconds: Callable[[], float] = standing_still) -> None:
        """A desk without searchers.

        Args:
            seconds: A steady clock, by which searchers see how long they take; one that stands still if nobody waits.
        """
        self._seconds = seconds
        self._searchers: dict[str, Searcher] = {}

    def handle(self, command: SearchCommand) -> Answer | None:
        """Carry out a command. Returns the answer to an Ask, SearchFailed if anything raised, else None."""
        try:
            return self._answer(command)
        except Exception as error:
            self._searchers.pop(command.study, None)
            return SearchFailed(command.study, _one_line(error))

    def _answer(self, command: SearchCommand) -> Answer | None:
        if isinstance(command, OpenSearch):
            searcher = self._searchers[command.study] = make_searcher(command.spec, self._seconds)
            searcher.tell(command.observations)
            return None
        if isinstance(command, CloseSearch):
            self._searchers.pop(command.study, None)
            return None
        known = self._searchers.get(command.study)
        if known is None:
            return None
        if isinstance(command, Tell):
            known.tell(command.observations)
            return None
        return _suggested(known, command)


def _suggested(searcher: Searcher, ask: Ask) -> Suggested:
    suggestions: list[Suggestion] = []
    for number in ask.numbers:
        suggestion = searcher.suggest(number)
        if suggestion is None:
            break
        suggestions.append(suggestion)
    return Suggested(ask.study, ask.numbers, tuple(suggestions), len(suggestions) < len(ask.numbers))


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def main(descriptor: int) -> None:
    """Serve batches of commands from a connection until its other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    threading.Thread(target=import_vendors, daemon=True).start()
    desk = Desk(time.monotonic)
    try:
        while True:
            for command in connection.recv():
                answer = desk.handle(command)
                if answer is not None:
                    connection.send(answer)
    except (EOFError, OSError):
        pass
    # Without a thought for the imports, which may be running still.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
