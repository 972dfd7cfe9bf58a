"""Names as people write them: ``digits-cnn`` and ``digits-cnn/17``, or in full."""

import re

from searchd.domain.errors import InvalidArgument
from searchd.domain.study import ID_PATTERN, StudyName

_STUDY = re.compile(rf"projects/({ID_PATTERN})/studies/({ID_PATTERN})")
_ID = re.compile(ID_PATTERN)


def project_name(project: str) -> str:
    """``projects/{project}`` from an id or a full name.

    Raises:
        InvalidArgument: it is neither.
    """
    short = project.removeprefix("projects/")
    if not _ID.fullmatch(short):
        raise InvalidArgument("project", f"{project!r} is not a project", "use letters, digits and dashes: my-team")
    return f"projects/{short}"


def full_study_name(study: str, project: str) -> StudyName:
    """``projects/{project}/studies/{study}`` from a short id, or a full name unchanged.

    Raises:
        InvalidArgument: it is neither.
    """
    if _STUDY.fullmatch(study):
        return StudyName(study)
    if not _ID.fullmatch(study):
        raise InvalidArgument(
            "study",
            f"{study!r} is not the name of a study",
            "write it as digits-cnn or projects/default/studies/digits-cnn",
        )
    return StudyName(f"{project_name(project)}/studies/{study}")


def split_trial_name(trial: str, project: str) -> tuple[StudyName, int]:
    """The study and the number in ``STUDY/N`` or ``projects/…/studies/…/trials/N``.

    Raises:
        InvalidArgument: it is neither.
    """
    study, _, number = trial.rpartition("/")
    if not re.fullmatch("[1-9][0-9]*", number) or not study:
        raise InvalidArgument("trial", f"{trial!r} is not the name of a trial", "write it as digits-cnn/17")
    return full_study_name(study.removesuffix("/trials"), project), int(number)
