"""What a study knew of its parent when it was created, read again from afar."""

from pathlib import Path

from searchd.client.handle import StudyHandle
from searchd.domain.errors import InvalidArgument
from searchd.domain.parent import Heritage, ParentTrial
from searchd.domain.study import Study
from searchd.wire.codec import decode_study

MEMBERS = 50
"""Most trials of a parent that a study knows of, as the server has it."""


def heritage_of(handle: StudyHandle, study: Study, shared: Path | None, storage: Path) -> Heritage | None:
    """What the study knows of its parent; None if it has none.

    Args:
        handle: The study.
        study: The study as it stands.
        shared: The server's storage, where the parent's fold runs left their files; None if it is not here.
        storage: A folder to be, in which a fold run is to find these files where it would on the server.

    Raises:
        InvalidArgument: it has a parent, and the server's storage is not given or has nothing of it.
        StudyNotFound: the parent has been deleted.
    """
    parent = handle.parent()
    if parent is None:
        return None
    left = (shared or Path()) / "artifacts" / parent.name
    if shared is None or not left.is_dir():
        why = "is not given" if shared is None else f"has no files of {parent.name}"
        reason = f"{why}, and the study builds on those that its fold runs left"
        raise InvalidArgument("--storage", reason, "give the server's storage, which is a folder in its data directory")
    theirs = decode_study(parent.get().message)
    since = study.created_at
    ended = [e.trial for e in parent.leaderboard(MEMBERS) if e.rank and (e.trial.ended_at or since) <= since]
    known = [trial for trial in ended if not trial.breaks_limits]
    if study.spec.parent is not None and study.spec.parent.trial is not None:
        chosen = parent.trial(study.spec.parent.trial)
        known = [chosen, *(trial for trial in known if trial.number != chosen.number)]
    place = storage / "artifacts" / parent.name
    place.parent.mkdir(parents=True)
    place.symlink_to(left.absolute())
    return Heritage(
        study=parent.name,
        born=theirs.created_at.isoformat(),
        trainable=theirs.spec.trainable,
        fixed=theirs.spec.fixed,
        folds=max(theirs.spec.evaluation.folds, 1),
        same_rows=study.spec.dataset == theirs.spec.dataset,
        trials=tuple(ParentTrial(trial.number, trial.params, trial.rung_scores[-1]) for trial in known),
    )
