"""The tracker: shows studies in the places that they name, such as TensorBoard, beside everything else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchd.domain.study import Study


@dataclass(frozen=True, slots=True)
class Tracked:
    """How far a study has got in one of the places that it names.

    Attributes:
        sink: The name in ``StudySpec.track``.
        place: Where it appears: a folder, or a server's address.
        problem: Why it does not get on at the moment, in one line; empty if it does.
    """

    sink: str
    place: str
    problem: str = ""


class Tracker(Protocol):
    """Shows studies elsewhere. What it does or fails to do never reaches a study."""

    def follow(self, study: Study) -> None:
        """Show the study in the places that it names, from where that was left off until it has ended. May be called
        again at any time, also with a study that names none; returns at once."""
        ...

    def state(self, study: Study) -> Sequence[Tracked]:
        """How far it is, in the order of ``StudySpec.track``; may read files."""
        ...


class NoTracker:
    """Shows nothing."""

    def follow(self, study: Study) -> None:
        """Do nothing."""

    def state(self, study: Study) -> Sequence[Tracked]:  # noqa: ARG002  # a Tracker
        """Nothing."""
        return ()
