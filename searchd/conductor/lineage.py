"""Who descends from whom in a population, and whose checkpoints must therefore stay."""

from collections.abc import Iterator
from dataclasses import dataclass

from searchd.domain.fidelity import Ladder
from searchd.domain.space import Parameters
from searchd.domain.trial import Origin, Trial, TrialNumber, TrialState
from searchd.ports.engine import Donor


@dataclass(frozen=True, slots=True)
class _Ancestor:
    parameters: Parameters
    of: TrialNumber | None
    of_epoch: int


class Lineage:
    """Trials of a population, taken in as they are put; those of other studies have nothing to tell of."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._known: dict[TrialNumber, _Ancestor] = {}
        self._ended: set[TrialNumber] = set()
        self.no_members = 0
        """Trials that are not among those that the searcher has to start: descendants, and members that broke."""
        self._needed: dict[TrialNumber, dict[TrialNumber, int]] = {}
        """By donor, the descendants that may have to begin from its checkpoint again, and its epoch."""

    def put(self, trial: Trial) -> None:
        """Take in a trial as it stands now."""
        if trial.number not in self._known:
            self._known[trial.number] = _Ancestor(trial.parameters, trial.of, trial.of_epoch)
            self.no_members += trial.of is not None
        if trial.state.ended:
            self.no_members += trial.of is None and trial.state in (TrialState.FAILED, TrialState.INFEASIBLE)
            self._ended.add(trial.number)
        if trial.of is None:
            return
        needed = self._needed.setdefault(trial.of, {})
        if trial.state.ended or self.stands_alone(trial):
            needed.pop(trial.number, None)
        else:
            needed[trial.number] = trial.of_epoch

    def inherited(self, trial: Trial) -> int:
        """How many of a trial's completed rungs are its donor's."""
        return sum(rung.epochs <= trial.of_epoch for rung in self._ladder) if trial.origin is Origin.DESCENT else 0

    def stands_alone(self, trial: Trial) -> bool:
        """Whether a descendant has completed a rung of its own, and so left checkpoints of its own."""
        return trial.rung > self.inherited(trial)

    def donor(self, trial: Trial) -> Donor | None:
        """Where a trial begins; None if at the beginning."""
        if trial.origin is not Origin.DESCENT or trial.of is None:
            return None
        return Donor(trial.of, self._known[trial.of].parameters, trial.of_epoch)

    def kept(self, trial: Trial) -> tuple[int, ...]:
        """Epochs whose checkpoints the trial must keep while it trains on, ascending: those that descendants begin
        from, and that of its newest rung, from which one may yet descend."""
        newest = {self._ladder[trial.rung - 1].epochs} if trial.rung else set()
        return tuple(sorted(newest | set(self._needed.get(trial.number, {}).values())))

    def forgettable(self, trial: Trial) -> Iterator[TrialNumber]:
        """Trials whose files nobody needs any more now that a trial, as yet taken in without that, has ended or has
        come to stand alone."""
        if trial.state.ended and not self._needed.get(trial.number):
            yield trial.number
        if trial.of in self._ended and self._needed.get(trial.of, {}).keys() == {trial.number}:
            yield trial.of

    def told(self, number: TrialNumber) -> str:
        """The schedule that a trial is the end of: whose parameters up to which epoch; empty if it has no ancestor."""
        spans: list[str] = []
        until = ""
        at: TrialNumber | None = number
        while at is not None and at in self._known:
            ancestor = self._known[at]
            spans.append(f"trial {at}{until} with {_text(ancestor.parameters)}")
            until, at = f" to epoch {ancestor.of_epoch}", ancestor.of
        return ", then ".join(reversed(spans)) if len(spans) > 1 else ""


def _text(parameters: Parameters) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )
