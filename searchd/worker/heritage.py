"""The parent of a study as its fold runs see it."""

from collections.abc import Sequence

from searchd.domain.evaluation import TEST_FOLD
from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.ports.engine import Segment
from searchd.trainable import Params, ParentTrial
from searchd.worker.files import Storage


def parent_trials(segment: Segment, storage: Storage) -> Sequence[ParentTrial]:
    """Trials of the parent, the chosen one first; none without a parent.

    Where the child has the parent's rows and folds, fold k of the child sees fold k of the parent. With rows of its
    own any will do, and it sees those of the parent's first repeat in turn.
    """
    heritage = segment.task.heritage
    if heritage is None:
        return ()
    test = segment.fold == TEST_FOLD
    repeat = segment.repeat if heritage.same_rows and not test else 0
    fold = None if test and heritage.same_rows else segment.fold % heritage.folds
    found = []
    for trial in heritage.trials:
        keys = [
            FoldRunKey(StudyName(heritage.study), TrialNumber(trial.number), repeat, fold_, heritage.born)
            for fold_ in range(heritage.folds)
        ]
        params = Params({**heritage.fixed, **trial.parameters})
        folders = [storage.artifacts(key) for key in keys]
        found.append(
            ParentTrial(
                trial.number, heritage.trainable, params, trial.score, folders, fold, same_rows=heritage.same_rows
            )
        )
    return found
