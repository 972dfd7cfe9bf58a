"""Changes of a study's definition, from the wire."""

from collections.abc import Sequence
from dataclasses import fields

from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.study import Budget, Changes
from searchd.v1 import study_pb2
from searchd.wire.drafts import decode_draft

LIMITS = tuple(f.name for f in fields(Budget))
PATHS = (*(f"budget.{name}" for name in LIMITS), "budget", "priority", "labels")


def decode_changes(study: study_pb2.Study, paths: Sequence[str]) -> Changes:
    """What is to change, and the new values.

    Args:
        study: Where the new values are.
        paths: Of the field mask; empty means the fields that are set.

    Raises:
        InvalidStudy: a path names what cannot change, nothing is to change, or a value has no meaning.
    """
    paths = paths or _set(study)
    found = [_refused(path) for path in paths if path not in PATHS]
    if not paths:
        found.append(Violation("update_mask", "names nothing", f"use some of {', '.join(PATHS)}"))
    definition = study_pb2.Study(budget=study.budget, priority=study.priority, labels=study.labels)
    draft, violations = decode_draft(definition)
    if found or violations:
        raise InvalidStudy((*found, *violations))
    names = {path.removeprefix("budget.") for path in paths}
    if "budget" in names:
        names = (names - {"budget"}) | set(LIMITS)
    return Changes(frozenset(names), draft.budget, draft.priority, draft.labels, study.etag)


def _set(study: study_pb2.Study) -> list[str]:
    paths = [f"budget.{field.name}" for field, _ in study.budget.ListFields()]
    return paths + [field.name for field, _ in study.ListFields() if field.name not in ("name", "etag", "budget")]


def _refused(path: str) -> Violation:
    return Violation(
        f"update_mask.{path}", "cannot change", f"use some of {', '.join(PATHS)}; or start a study like it"
    )
