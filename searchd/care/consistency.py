"""What a survey of a store comes to."""

from searchd.care.finding import RESTORE, Finding, ok, problem
from searchd.care.survey import Survey

_REPORT = "that is a fault of searchd: please report it"


def judged(survey: Survey) -> list[Finding]:
    """The findings of a survey, one for each thing that could be wrong."""
    return [_records(survey), _log(survey), _agreement(survey), _counts(survey), _attempts(survey)]


def _records(survey: Survey) -> Finding:
    if survey.unread:
        message = f"the database can be read only in part: {survey.unread}"
        return problem("records", message, RESTORE, survey.damaged)
    if survey.damaged:
        count = len(survey.damaged)
        message = f"{count:,} of {survey.rows:,} cannot be understood"
        return problem("records", message, f"stop or delete the studies they belong to; or {RESTORE}", survey.damaged)
    return ok("records", f"all {survey.rows:,} can be understood")


def _log(survey: Survey) -> Finding:
    if survey.missing:
        return problem("log", "it is not whole", RESTORE, survey.missing)
    if survey.newest == survey.trimmed:
        return ok("log", f"empty, the newest revision was {survey.newest:,}" if survey.newest else "empty")
    return ok("log", f"whole from revision {survey.trimmed + 1:,} to {survey.newest:,}")


def _agreement(survey: Survey) -> Finding:
    if survey.diverging:
        return problem("state", "not what the log says it is", RESTORE, survey.diverging)
    return ok("state", "what the log says it is")


def _counts(survey: Survey) -> Finding:
    if survey.miscounted:
        remedy = f"the trials are right and the counts are not; {_REPORT}"
        return problem("counts", "not equal to a recount", remedy, survey.miscounted)
    return ok("counts", "equal to a recount of all trials")


def _attempts(survey: Survey) -> Finding:
    if survey.unfenced:
        return problem("attempts", "measurements of attempts never handed out", _REPORT, survey.unfenced)
    return ok("attempts", "every measurement is of one that was handed out")
