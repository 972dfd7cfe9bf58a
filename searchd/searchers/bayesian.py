"""The searcher that chooses: which algorithm suits the study, what it is shown, and whether it keeps up.

Expensive models learn most from few trials, so a Gaussian process comes first, and what scales follows when there are
many. Each algorithm stays the searcher that it is on its own; what it is shown of the trials is decided here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from searchd.domain.search import Algorithm
from searchd.domain.space import Choice
from searchd.domain.study import StudySpec
from searchd.domain.trial import TrialNumber, TrialState
from searchd.ports.searcher import Observation, Searcher, Suggestion
from searchd.searchers.fidelity import imputed
from searchd.searchers.pace import TOP, Pace, written

MANY = 250
"""Trials with a result from which a Gaussian process no longer pays: it slows down, and others have learnt by then."""

GP_OBJECTIVES = 3
"""Most objectives whose joint improvement a Gaussian process can look for in passable time."""

MANY_WITH_OPTIONS = 100
"""The same where some parameters are categorical: a Gaussian process knows no order among options."""


class BayesianSearcher:
    """Chooses an algorithm by the study's space, objectives and trials, and changes it as trials come in.

    The choice depends on the study and on what was told, and on how long asking takes: where slots would wait for
    suggestions, it steps down to a cheaper algorithm. That step, which trials do not show, is in the notes.
    """

    def __init__(
        self,
        spec: StudySpec,
        make: Callable[[StudySpec], Searcher],
        seconds: Callable[[], float],
        has_torch: bool,
    ) -> None:
        """A searcher told nothing yet.

        Args:
            spec: The study.
            make: Makes the searcher of a study whose algorithm is chosen.
            seconds: A steady clock, for the time that asking takes.
            has_torch: Whether what a Gaussian process needs is installed.
        """
        self._spec = spec
        self._make = make
        self._seconds = seconds
        self._has_torch = has_torch
        self._ladder = spec.ladder
        self._pace = Pace(spec.budget.slots)
        self._trials: dict[TrialNumber, Observation] = {}
        self._results: set[TrialNumber] = set()
        self._chosen: dict[Algorithm, _Shown] = {}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take in new or changed trials; the newest observation of a trial replaces older ones."""
        for observation in observations:
            self._trials[observation.number] = observation
            self._pace.tell(observation)
            if has_result(observation):
                self._results.add(observation.number)
            else:
                self._results.discard(observation.number)
            for shown in self._chosen.values():
                shown.changed.add(observation.number)

    def suggest(self, number: TrialNumber) -> Suggestion | None:
        """The configuration for trial ``number``, which counts as pending from now on, with the choice as its remark;
        None if a discrete space is used up."""
        algorithm, remark = choice(self._spec, len(self._results), self._pace.step.allows, self._has_torch)
        if algorithm is self._pace.step.by is not TOP.by:
            remark = f"{label(algorithm)}: {self._pace.step.remark}"
        began = self._seconds()
        suggestion = self._searcher(algorithm).suggest(number)
        if suggestion is None:
            return None
        self._pace.asked(algorithm, self._seconds() - began, number)
        note = self._note(algorithm, suggestion.note)
        self._trials[number] = Observation(number, suggestion.parameters, TrialState.PENDING, note=note)
        for other, shown in self._chosen.items():
            if other is not algorithm:
                shown.changed.add(number)
        return Suggestion(suggestion.parameters, note, remark)

    def _searcher(self, algorithm: Algorithm) -> Searcher:
        """The algorithm's searcher, shown what it has not seen."""
        shown = self._chosen.get(algorithm)
        if shown is None:
            search = replace(self._spec.search, algorithm=algorithm)
            shown = _Shown(self._make(replace(self._spec, search=search)), changed=set(self._trials))
            self._chosen[algorithm] = shown
        if shown.changed:
            shown.show(self._view(algorithm, shown.changed))
        return shown.searcher

    def _view(self, algorithm: Algorithm, changed: set[TrialNumber]) -> list[Observation]:
        """Trials by number as an algorithm is to see them, with the notes that it wrote itself: those that changed.

        A Gaussian process learns from complete trials alone, so the others are shown to it as what they would come to,
        which any trial may change.
        """
        impute = algorithm is Algorithm.GP and len(self._ladder) > 1
        trials = [self._trials[number] for number in sorted(self._trials if impute else changed)]
        trials = [replace(o, note=_inner(o.note, algorithm)) if o.note else o for o in trials]
        return imputed(trials, self._ladder) if impute else trials

    def _note(self, algorithm: Algorithm, inner: str) -> str:
        note: dict[str, object] = {"by": str(algorithm), "note": inner} if inner else {}
        if self._pace.stepped:
            note["step"] = written(self._pace.step)
        return json.dumps(note) if note else ""


@dataclass(slots=True)
class _Shown:
    """An algorithm's searcher, the trials that have changed since it was shown them, and what it was last shown."""

    searcher: Searcher
    changed: set[TrialNumber]
    last: dict[TrialNumber, Observation] = field(default_factory=dict)

    def show(self, observations: Sequence[Observation]) -> None:
        """Tell the searcher what looks otherwise than before."""
        different = [o for o in observations if self.last.get(o.number) != o]
        self.searcher.tell(different)
        self.last.update((o.number, o) for o in different)
        self.changed.clear()


def has_result(observation: Observation) -> bool:
    """Whether a trial says something about its configuration: it completed a rung and did not fail."""
    lost = (TrialState.FAILED, TrialState.INFEASIBLE, TrialState.CANCELLED)
    return bool(observation.scores) and observation.state not in lost


def label(algorithm: Algorithm) -> str:
    """An algorithm's name for people."""
    return {Algorithm.CMAES: "CMA-ES", Algorithm.NSGA2: "NSGA-II", Algorithm.NSGA3: "NSGA-III"}.get(
        algorithm, algorithm.upper() if algorithm in (Algorithm.GP, Algorithm.TPE) else algorithm.capitalize()
    )


def choice(
    spec: StudySpec, results: int, allows: Callable[[Algorithm], bool], has_torch: bool
) -> tuple[Algorithm, str]:
    """The algorithm for a study's next suggestion, and why, in one sentence that changes only when the reason does.

    Args:
        spec: The study.
        results: Trials that have a result.
        allows: Whether an algorithm keeps up with the study.
        has_torch: Whether a Gaussian process can be fitted.
    """
    algorithm, reason = _preferred(spec, results)
    if algorithm is Algorithm.GP and not has_torch:
        algorithm, reason = Algorithm.TPE, "GP needs torch, which is not installed with the server"
    if not allows(algorithm):
        algorithm = Algorithm.TPE if allows(Algorithm.TPE) else Algorithm.SOBOL
    return algorithm, f"{label(algorithm)}: {reason}"


def _preferred(spec: StudySpec, results: int) -> tuple[Algorithm, str]:
    """What suits a study if time is no matter, and why."""
    free = [p for p in spec.space.parameters if p.domain.at(0) != p.domain.at(1 - 2**-53)]
    options = sum(isinstance(p.domain, Choice) for p in free)
    objectives = len(spec.objectives)
    several = f"{objectives} objectives, " if objectives > 1 else ""
    if objectives > 1 and results >= MANY:
        evolution = Algorithm.NSGA2 if objectives <= GP_OBJECTIVES else Algorithm.NSGA3
        return evolution, f"{several}{MANY} results or more"
    if objectives > GP_OBJECTIVES:
        return Algorithm.TPE, f"{several}fewer than {MANY} results"
    if spec.search.cost_aware and results < MANY:
        return Algorithm.GP, f"{several}improvement per second, fewer than {MANY} results"
    if any(p.when for p in free):
        return Algorithm.TPE, f"{several}some parameters depend on others"
    if options:
        kind = f"{several}{options} of {len(free)} parameters categorical"
        if results < MANY_WITH_OPTIONS:
            return Algorithm.GP, f"{kind}, fewer than {MANY_WITH_OPTIONS} results"
        return Algorithm.TPE, f"{kind}, {MANY_WITH_OPTIONS} results or more"
    kind = f"{several}{len(free)} numeric parameter{'' if len(free) == 1 else 's'}"
    if results < MANY:
        return Algorithm.GP, f"{kind}, fewer than {MANY} results"
    # In one dimension there is no covariance to adapt.
    return (Algorithm.CMAES if len(free) > 1 else Algorithm.TPE), f"{kind}, {MANY} results or more"


def _inner(note: str, algorithm: Algorithm) -> str:
    """What an algorithm itself noted; empty if another wrote the note."""
    known = json.loads(note)
    return str(known["note"]) if known.get("by") == algorithm else ""
