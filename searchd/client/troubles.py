"""What went wrong with a study's trials, in few words."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from searchd.client.numbers import one_line
from searchd.client.views import Trial
from searchd.domain.failure import Failure
from searchd.domain.trial import TrialState


def failure_words(failure: Failure) -> str:
    """What went wrong with a trial: ``out of memory``."""
    return failure.value.replace("_", " ")


@dataclass(slots=True)
class Troubles:
    """What is known of the trials that failed, are infeasible or break limits: of all, of some, or of none.

    Attributes:
        failures: What went wrong with each failed trial, by its number; None where that is unknown.
        reasons: The last reason for each of the two states.
        broken: Numbers of the trials that break a limit.
    """

    failures: dict[int, Failure | None] = field(default_factory=dict)
    reasons: dict[TrialState, str] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)

    def add(self, trial: Trial) -> None:
        """Take in a trial, whatever its state."""
        if trial.state is TrialState.FAILED:
            self.failures[trial.number] = trial.failure
        if trial.state in (TrialState.FAILED, TrialState.INFEASIBLE):
            self.reasons[trial.state] = one_line(trial.reason)
        if trial.breaks_limits and not trial.origin.repeats:
            self.broken.add(trial.number)
        else:
            self.broken.discard(trial.number)

    def summary(self, trials: Mapping[str, int]) -> list[str]:
        """How many trials failed or are infeasible and why, in up to two parts: ``failed 3: 2 out of memory, 1 hung``.

        Args:
            trials: Numbers of trials by state name.
        """
        infeasible, failed = trials.get(TrialState.INFEASIBLE.value), trials.get(TrialState.FAILED.value)
        parts = []
        if infeasible:
            why = "" if failed else self.reasons.get(TrialState.INFEASIBLE, "")
            parts.append(_with(f"infeasible {infeasible}", why))
        if failed:
            parts.append(_with(f"failed {failed}", self._why(failed)))
        return parts

    def _why(self, failed: int) -> str:
        last = self.reasons.get(TrialState.FAILED, "")
        counts = Counter(failure for failure in self.failures.values() if failure is not None).most_common()
        if not counts:
            return last
        if counts[0][1] == failed:
            words = failure_words(counts[0][0])
        else:
            words = ", ".join(f"{count} {failure_words(failure)}" for failure, count in counts)
        return f"{words} (last: {last})" if last else words


def _with(text: str, why: str) -> str:
    return f"{text}: {why}" if why else text
