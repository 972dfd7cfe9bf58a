"""Domain values as JSON and back."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from searchd.stores import records
from tests.contracts.makers import measurement, study, trial

texts = st.text(st.characters(codec="utf-8"), max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(st.dictionaries(texts, values, max_size=4))
def test_parameters_keep_value_and_type(parameters: dict[str, object]) -> None:
    """Any JSON value comes back as the same value of the same type, NaN and infinities among them."""
    found = records.TRIAL.load(records.TRIAL.dump(trial(parameters=parameters)))
    assert repr(found.parameters) == repr(parameters)


@given(st.dictionaries(texts, st.floats(), max_size=4))
def test_metrics_keep_every_bit(metrics: dict[str, float]) -> None:
    """Any float comes back exactly, NaN and infinities among them."""
    found = records.MEASUREMENT.load(records.MEASUREMENT.dump(measurement(metrics=metrics)))
    assert repr(found.metrics) == repr(metrics)


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_keep_the_microsecond(at: datetime) -> None:
    """Any time comes back exactly, before 1970 and after."""
    assert records.moment(records.microseconds(at)) == at


def test_parts_make_a_whole_study() -> None:
    """A study written in three parts is read as one, and the parts share nothing."""
    made = study()
    rest, spec, progress = (
        records.STUDY_REST.dump(made),
        records.SPEC.dump(made.spec),
        records.PROGRESS.dump(made.progress),
    )
    assert records.STUDY.load(records.whole_study(rest, spec, progress)) == made
    assert not {"spec", "progress"} & set(json.loads(rest))


def test_many_are_read_in_order() -> None:
    """Many values are read at once, in their order; none gives none."""
    made = tuple(trial(n) for n in (3, 1, 2))
    assert records.TRIAL.load_all(map(records.TRIAL.dump, made)) == made
    assert records.TRIAL.load_all([]) == ()
