"""The generations of an evolution, kept in the notes of its trials."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from searchd.domain.trial import TrialNumber


@dataclass(slots=True)
class Generations:
    """Which generation each trial was suggested in, and which trials each generation came of.

    Which trials made a generation depends on who had finished at that moment, which later nobody can tell: the first
    suggestion of a generation notes it.

    Attributes:
        members: The trials that were suggested in each generation, from 0.
        parents: The trials that each generation came of.
    """

    members: defaultdict[int, set[TrialNumber]] = field(default_factory=lambda: defaultdict(set))
    parents: dict[int, tuple[TrialNumber, ...]] = field(default_factory=dict)
    _of: dict[TrialNumber, int] = field(default_factory=dict)
    _firsts: dict[int, TrialNumber] = field(default_factory=dict)

    @property
    def newest(self) -> int:
        """The newest generation that has begun, 0 before any trial."""
        return max(self.parents, default=0)

    def begin(self, generation: int, parents: Sequence[TrialNumber]) -> None:
        """A generation begins, from these trials."""
        self.parents[generation] = tuple(parents)

    def note(self, number: TrialNumber, generation: int, **more: Any) -> str:
        """The note of a trial that is suggested in a generation."""
        note: dict[str, Any] = {"generation": generation, **more}
        if self._firsts.setdefault(generation, number) == number:
            note["of"] = self.parents[generation]
        return json.dumps(note)

    def read(self, number: TrialNumber, note: str) -> dict[str, Any]:
        """Take in a trial's note, in place of an earlier one of it; returns what it says, nothing if it is not from
        here."""
        if number in self._of:
            self.members[self._of.pop(number)].discard(number)
        noted = json.loads(note) if note else {}
        if "generation" not in noted:
            return {}
        generation = self._of[number] = noted["generation"]
        self.members[generation].add(number)
        if "of" in noted:
            self.parents[generation] = tuple(noted["of"])
            self._firsts[generation] = number
        return dict(noted)
