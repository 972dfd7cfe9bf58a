"""A study that starts from the definition of another."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from searchd.v1 import study_pb2

WHOLE = frozenset({"search_space", "dataset", "ladder"})
"""Fields that are replaced as a whole: parts of two would not fit together."""


def overlaid(base: study_pb2.Study, name: str, study: study_pb2.Study) -> study_pb2.Study:
    """The definition in ``base`` with everything that ``study`` sets in its place, and a warm start from the study
    called ``name``, whose definition ``base`` is.

    Settings are replaced one by one; lists, maps, the search space and the dataset as a whole.
    """
    merged = study_pb2.Study()
    merged.CopyFrom(base)
    _give_way(merged, study)
    _overlay(merged, study)
    merged.ClearField("like")
    if not {name, name.rsplit("/", 1)[-1]} & set(merged.warm_start):
        merged.warm_start.append(name)
    return merged


def _give_way(merged: study_pb2.Study, study: study_pb2.Study) -> None:
    """Drop what was set there and contradicts what is set here."""
    here = study.evaluation
    if here.HasField("folds"):
        merged.evaluation.ClearField("holdout")
    if here.HasField("holdout"):
        merged.evaluation.ClearField("folds")
    if any(here.HasField(field) for field in ("folds", "holdout", "epochs", "repeats")):
        merged.evaluation.ClearField("ladder")
    if study.scheduler.HasField("algorithm") and study.scheduler.algorithm != merged.scheduler.algorithm:
        merged.evaluation.ClearField("racing")
        merged.ClearField("scheduler")
    if study.search.HasField("algorithm") and study.search.algorithm != merged.search.algorithm:
        merged.search.ClearField("ray_searcher")
        merged.search.ClearField("cost_aware")
    if study.HasField("dataset"):
        merged.evaluation.ClearField("split")
    if study.retry.retries:
        merged.retry.ClearField("attempts")
    if study.trainable and study.trainable != merged.trainable:
        for field in ("search_space", "fixed", "objectives", "constraints"):
            merged.ClearField(field)


def _overlay(target: Message, source: Message) -> None:
    for field, value in source.ListFields():
        nested = isinstance(value, Message) and not isinstance(value, Duration) and field.name not in WHOLE
        if nested:
            _overlay(getattr(target, field.name), value)
            continue
        target.ClearField(field.name)
        if field.is_repeated:
            getattr(target, field.name).MergeFrom(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
