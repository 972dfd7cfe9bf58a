"""What a study takes over from the parent that it builds on: its data and folds, and what is known of its trials."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from searchd.domain.draft import StudyDraft
from searchd.domain.errors import StudyNotFound, TrialNotFound, Violation
from searchd.domain.evaluation import Evaluation
from searchd.domain.parent import Heritage, ParentTrial
from searchd.domain.study import Study
from searchd.domain.trial import Trial, TrialNumber, TrialState
from searchd.ports.store import Store
from searchd.service.warmth import named

MEMBERS = 50
"""Most trials of a parent that a study knows of."""

_SPLITS = ("folds", "holdout", "split_seed", "repeats")


@dataclass(frozen=True, slots=True)
class Inherited:
    """A draft with what it takes over; ``heritage`` is None if it has no parent, or one with ``violations``."""

    draft: StudyDraft
    heritage: Heritage | None = None
    data: str = ""
    """Fingerprint of the parent's dataset."""
    violations: tuple[Violation, ...] = ()

    def conflicts(self, fingerprint: str) -> Iterator[Violation]:
        """What is wrong with the fingerprint of the child's dataset."""
        if self.heritage is not None and not self.heritage.same_rows and fingerprint == self.data:
            message = f"is the data of {self.heritage.study}, divided in another way"
            yield Violation("dataset", message, "leave it out: a study has the data and the folds of its parent")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of it."""
        if self.heritage is None:
            return ()
        first, *others = self.heritage.trials
        name = self.heritage.study.rsplit("/", 1)[-1]
        more = f"{len(others)} more trial{'s' * (len(others) != 1)}"
        return (f"builds on trial {first.number} of {name} ({first.score:.4g}) and knows {more}",)


def inherited(store: Store, project: str, draft: StudyDraft) -> Inherited:
    """The draft with its parent's data and folds, if it has a parent and no data of its own."""
    if draft.parent is None:
        return Inherited(draft)
    try:
        study = store.study(named(project, draft.parent.study))
    except StudyNotFound:
        remedy = "name a study that `searchd ls` lists, or leave it out"
        return _refused(draft, "parent.study", f"there is no study {draft.parent.study!r}", remedy)
    trials = _trials(store, study)
    if draft.parent.trial is not None:
        try:
            chosen = store.trial(study.name, TrialNumber(draft.parent.trial))
        except TrialNotFound:
            message = f"{draft.parent.study} has no trial {draft.parent.trial}"
            return _refused(draft, "parent.trial", message, "name one that `searchd trials` lists, or leave it out")
        if not _whole(study, chosen):
            message = f"trial {chosen.number} was not evaluated on all folds and epochs"
            return _refused(draft, "parent.trial", message, "name one that completed, or leave it out for the best")
        trials = [chosen, *(trial for trial in trials if trial.number != chosen.number)]
    if not trials:
        message = f"{draft.parent.study} has no trial yet that was evaluated on all folds and epochs"
        return _refused(draft, "parent", message, "wait until it has one")
    same = draft.dataset is None or draft.dataset == study.spec.dataset
    heritage = Heritage(
        study=study.name,
        born=study.created_at.isoformat(),
        trainable=study.spec.trainable,
        fixed=study.spec.fixed,
        folds=max(study.spec.evaluation.folds, 1),
        same_rows=same,
        trials=tuple(ParentTrial(t.number, t.parameters, t.scores[-1]) for t in trials[:MEMBERS]),
    )
    if not same:
        return Inherited(draft, heritage, study.data)
    contradictions = tuple(_contradictions(draft, study.spec.evaluation))
    return Inherited(_divided(draft, study), heritage, study.data, contradictions)


def _refused(draft: StudyDraft, path: str, message: str, remedy: str) -> Inherited:
    return Inherited(draft, violations=(Violation(path, message, remedy),))


def _trials(store: Store, study: Study) -> Sequence[Trial]:
    return [trial for trial in store.ranked(study.name, MEMBERS) if _whole(study, trial) and trial.feasible]


def _whole(study: Study, trial: Trial) -> bool:
    """Whether a trial was evaluated like all others, and in full."""
    searched = not trial.origin.repeats
    return trial.state is TrialState.COMPLETED and searched and len(trial.scores) == len(study.spec.ladder)


def _contradictions(draft: StudyDraft, theirs: Evaluation) -> Iterator[Violation]:
    """What a draft says of folds that are its parent's."""
    remedy = "leave it out: a study has the folds of its parent"
    for name in _SPLITS:
        wanted = getattr(draft.evaluation, name)
        if wanted not in (getattr(Evaluation(), name), getattr(theirs, name)):
            yield Violation(f"evaluation.{name}", f"{wanted} is not that of the parent", remedy)
    if draft.split not in (None, theirs.split):
        yield Violation("evaluation.split", f"{draft.split} is not that of the parent", remedy)
    if draft.evaluation.confirm is not None:
        message = "the parent's models have seen the rows that fresh splits would validate on"
        remedy = "leave it out, and set rows aside with dataset.test in the parent instead"
        yield Violation("evaluation.confirm", message, remedy)


def _divided(draft: StudyDraft, study: Study) -> StudyDraft:
    theirs = study.spec.evaluation
    splits = {name: getattr(theirs, name) for name in _SPLITS}
    evaluation = replace(draft.evaluation, **splits)
    return replace(draft, dataset=study.spec.dataset, evaluation=evaluation, split=theirs.split)
