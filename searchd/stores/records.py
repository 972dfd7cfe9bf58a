"""Domain values as JSON text and back, without loss: 8 stays 8, 8.0 a float, True a bool, NaN a NaN."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, assert_never

from pydantic import ConfigDict, TypeAdapter, ValidationError

from searchd.domain.errors import StoreDamaged
from searchd.domain.facts import Fact, MeasurementAdded, ProgressPut, StudyDeleted, StudyPut, TrialPut
from searchd.domain.measurement import Measurement
from searchd.domain.study import Progress, Study, StudyName, StudySpec
from searchd.domain.trial import Trial
from searchd.stores.tables import Kind

T = TypeVar("T")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Codec(Generic[T]):
    """JSON of one dataclass; fields in ``without`` are left out when writing."""

    def __init__(self, kind: type[T], without: frozenset[str] = frozenset()) -> None:
        # A dataclass takes its JSON settings only from what it is wrapped in; a tuple also reads many in one go.
        self._adapter: TypeAdapter[tuple[T, ...]] = TypeAdapter(
            tuple[kind, ...],  # type: ignore[valid-type]
            config=ConfigDict(ser_json_inf_nan="constants"),
        )
        self._exclude = {"__all__": set(without)} if without else None

    def dump(self, value: T) -> str:
        """The value as JSON."""
        return self._adapter.dump_json((value,), exclude=self._exclude)[1:-1].decode()

    def load(self, text: str, what: str) -> T:
        """The value from its JSON.

        Args:
            text: The JSON.
            what: Names the value in the error.

        Raises:
            StoreDamaged: it is not JSON of such a value.
        """
        try:
            (value,) = self._adapter.validate_json(f"[{text}]")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"][1:]))
            raise StoreDamaged(what, f"{place}: {first['msg']}" if place else first["msg"]) from error
        except ValueError as error:
            raise StoreDamaged(what, "it is not one JSON value") from error
        return value

    def load_all(self, texts: Sequence[str], what: Callable[[int], str]) -> tuple[T, ...]:
        """Values from their JSON; shape (n_texts,).

        Args:
            texts: The JSON of each.
            what: Names the value at an index in the error.

        Raises:
            StoreDamaged: one of them is not JSON of such a value.
        """
        with suppress(ValueError, TypeError):
            values = self._adapter.validate_json(f"[{','.join(texts)}]")
            if len(values) == len(texts):
                return values
        return tuple(self.load(text, what(index)) for index, text in enumerate(texts))


SPEC = Codec(StudySpec)
PROGRESS = Codec(Progress)
STUDY = Codec(Study)
STUDY_REST = Codec(Study, without=frozenset({"spec", "progress"}))
TRIAL = Codec(Trial)
MEASUREMENT = Codec(Measurement)


def with_field(text: str, field: str, value: str) -> str:
    """A JSON object (that has at least one field) with one more, whose value is JSON already."""
    return f'{text[:-1]},"{field}":{value}}}'


def whole_study(rest: str, spec: str, progress: str) -> str:
    """JSON of a study from its three parts."""
    return with_field(with_field(rest, "spec", spec), "progress", progress)


def fact(kind: Kind, study: StudyName, body: str, spec: str | None) -> Fact:
    """The fact that an event row tells; ``spec`` is the JSON of the study's, needed by a StudyPut only.

    Raises:
        StoreDamaged: the row cannot be understood; it names the study.
    """
    match kind:
        case Kind.STUDY:
            return StudyPut(STUDY.load(with_field(body, "spec", spec or "null"), study))
        case Kind.DELETED:
            return StudyDeleted(study)
        case Kind.PROGRESS:
            return ProgressPut(study, PROGRESS.load(body, study))
        case Kind.TRIAL:
            return TrialPut(TRIAL.load(body, study))
        case Kind.MEASUREMENT:
            return MeasurementAdded(study, MEASUREMENT.load(body, study))
        case Kind.REQUEST:
            raise ValueError("answered requests are not read from the log")
        case _:
            assert_never(kind)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (at - _BEGINNING) // _MICROSECOND


def moment(at_us: int) -> datetime:
    """The time that many microseconds after 1970, UTC."""
    return _BEGINNING + at_us * _MICROSECOND
