"""What tracking remembers, in small files beside what the sinks write: who is followed, and how far everybody is."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from searchd.domain.study import Study, StudyName

FOLDER = "tracking"
"""Of all this in the storage."""

FOLLOWED = ".followed"
CURSORS = ".cursors"


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a sink has got with a study.

    Attributes:
        born: When the study was created, in ISO 8601: another one of that name begins anew.
        revision: Everything up to there is shown.
        place: Where.
        problem: Why it does not get on at the moment, in one line; empty if it does.
    """

    born: str
    revision: int
    place: str
    problem: str = ""


class Ledger:
    """Files under ``root``, where each sink has a folder of its name.

    Who is followed is written by the server and deleted by the tracking process, cursors by that process alone. All
    methods raise OSError if the file system fails.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, sink: str) -> Path:
        """Where a sink keeps its files."""
        return self._root / sink

    def follow(self, sink: str, study: StudyName) -> None:
        """Note that a sink is to show a study; once more is no error."""
        note = self._root / FOLLOWED / sink / study
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()

    def leave(self, sink: str, study: StudyName) -> None:
        """The study need not be followed any more; neither if it was not."""
        (self._root / FOLLOWED / sink / study).unlink(missing_ok=True)

    def followed(self, sink: str) -> Iterator[StudyName]:
        """The studies that a sink is to show, by name."""
        folder = self._root / FOLLOWED / sink
        return (StudyName(str(note.relative_to(folder))) for note in sorted(folder.glob("projects/*/studies/*")))

    def any_followed(self, sink: str) -> bool:
        """Whether there are any."""
        return any(True for _ in self.followed(sink))

    def cursor(self, sink: str, study: StudyName) -> Cursor | None:
        """How far a sink is; None if it has not begun, or what was noted cannot be read."""
        try:
            return Cursor(**json.loads(self._cursor(sink, study).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, sink: str, study: StudyName, cursor: Cursor) -> None:
        """Note how far a sink is."""
        path = self._cursor(sink, study)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(cursor)))
        fresh.replace(path)

    def _cursor(self, sink: str, study: StudyName) -> Path:
        return self._root / CURSORS / sink / f"{study}.json"


def born(study: Study) -> str:
    """What tells a study from another of its name."""
    return study.created_at.isoformat()
