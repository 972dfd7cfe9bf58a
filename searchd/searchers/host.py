"""The searchers of all studies at one desk, and the child process that runs it."""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

    def knows(self, study: str) -> bool:
        """Whether a study's searcher is open."""
        return study in self._searchers

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


@dataclass(slots=True)
class _Line:
    """A study's commands, and what has been suggested for the first."""

    commands: deque[SearchCommand] = field(default_factory=deque)
    suggestions: list[Suggestion] = field(default_factory=list)


class Turns:
    """Carries out each study's commands in order, and studies by turns, one suggestion at a time, so that one with an
    expensive searcher and many slots does not keep the others waiting for long."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines: dict[str, _Line] = {}

    def put(self, command: SearchCommand) -> None:
        """Queue a command."""
        self._lines.setdefault(command.study, _Line()).commands.append(command)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._lines)

    def step(self) -> Answer | None:
        """Do something for the study whose turn it is, if there is one. Returns an answer when it is complete."""
        if not self._lines:
            return None
        study = next(iter(self._lines))
        line = self._lines.pop(study)
        command = line.commands[0]
        if isinstance(command, Ask):
            answer = self._asked(line, command)
            done = answer is not None or not self._desk.knows(study)
        else:
            answer, done = self._desk.handle(command), True
        if done:
            line.commands.popleft()
            line.suggestions = []
        if line.commands:
            self._lines[study] = line
        return answer

    def _asked(self, line: _Line, ask: Ask) -> Answer | None:
        answer = self._desk.handle(Ask(ask.study, ask.numbers[len(line.suggestions) :][:1]))
        if not isinstance(answer, Suggested):
            return answer
        line.suggestions += answer.suggestions
        if not answer.exhausted and len(line.suggestions) < len(ask.numbers):
            return None
        return Suggested(ask.study, ask.numbers, tuple(line.suggestions), answer.exhausted)


def _one_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def main(descriptor: int) -> None:
    """Serve batches of commands from a connection until its other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    threading.Thread(target=import_vendors, daemon=True).start()
    received: queue.SimpleQueue[Sequence[SearchCommand]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, received.put), daemon=True).start()
    turns = Turns(Desk(time.monotonic))
    while True:
        while not turns or not received.empty():
            for command in received.get():
                turns.put(command)
        answer = turns.step()
        if answer is not None:
            with contextlib.suppress(OSError):
                connection.send(answer)


def _receive(connection: Connection, put: Callable[[Sequence[SearchCommand]], None]) -> None:
    """Take in commands until the other end is gone, then end the process: nobody waits for what it is at."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            put(connection.recv())
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
