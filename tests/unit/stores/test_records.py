"""Domain values as JSON and back."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import make_url

from searchd.domain.errors import StoreDamaged
from searchd.stores import records
from searchd.stores.tables import Plain
from tests.contracts.makers import measurement, study, trial

texts = st.text(st.characters(codec="utf-8"), max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


@given(st.dictionaries(texts, values, max_size=4))
def test_parameters_keep_value_and_type(parameters: dict[str, object]) -> None:
    """Any JSON value comes back as the same value of the same type, NaN and infinities among them."""
    found = records.TRIAL.load(records.TRIAL.dump(trial(parameters=parameters)), "it")
    assert repr(found.parameters) == repr(parameters)


@given(st.dictionaries(texts, st.floats(), max_size=4))
def test_metrics_keep_every_bit(metrics: dict[str, float]) -> None:
    """Any float comes back exactly, NaN and infinities among them."""
    found = records.MEASUREMENT.load(records.MEASUREMENT.dump(measurement(metrics=metrics)), "it")
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
    assert records.STUDY.load(records.whole_study(rest, spec, progress), "it") == made
    assert not {"spec", "progress"} & set(json.loads(rest))


def test_many_are_read_in_order() -> None:
    """Many values are read at once, in their order; none gives none."""
    made = tuple(trial(n) for n in (3, 1, 2))
    assert records.TRIAL.load_all([records.TRIAL.dump(value) for value in made], str) == made
    assert records.TRIAL.load_all([], str) == ()


BROKEN = ["", "{", "null", "5", "[]", "{}", "\ud800", "{},{}", '{"state": "flying"}']


@pytest.mark.parametrize("text", BROKEN)
def test_damage_is_named(text: str) -> None:
    """What is not JSON of one such value raises StoreDamaged that names it and says what is wrong in one line."""
    with pytest.raises(StoreDamaged) as raised:
        records.TRIAL.load(text, "it")
    assert raised.value.what == "it"
    assert raised.value.reason
    assert "\n" not in raised.value.reason


@pytest.mark.parametrize("text", BROKEN)
def test_damage_among_many_is_named(text: str) -> None:
    """Of many values the one that is damaged is named, and none is taken for two."""
    whole = records.TRIAL.dump(trial())
    with pytest.raises(StoreDamaged) as raised:
        records.TRIAL.load_all([whole, whole, text, whole], lambda index: f"number {index}")
    assert raised.value.what == "number 2"


def test_damage_says_where() -> None:
    """The reason names the field within the value."""
    text = records.TRIAL.dump(trial()).replace('"handed_out"', '"lost"')
    with pytest.raises(StoreDamaged, match=r"fold_runs\.0\.state"):
        records.TRIAL.load(text, "it")


SQLITE, POSTGRES = (make_url(url).get_dialect()() for url in ("sqlite://", "postgresql+psycopg://"))

low = st.text(st.sampled_from("\0\1\2\3a"), max_size=6)


@given(low | st.text(), low | st.text())
@example("\0\2", "\1\1")
def test_plain_text_keeps_value_and_order(one: str, other: str) -> None:
    """Text with NUL in it comes back from PostgreSQL as it was and sorts there as here; SQLite gets it as it is."""
    plain = Plain()
    stored = [plain.process_bind_param(text, POSTGRES) or "" for text in (one, other)]
    assert [plain.process_result_value(text, POSTGRES) for text in stored] == [one, other]
    assert not any("\0" in text for text in stored)
    assert (stored[0] < stored[1]) == (one < other)
    assert plain.process_bind_param(one, SQLITE) == plain.process_result_value(one, SQLITE) == one


def test_no_text_stays_none() -> None:
    """A column without text gives None."""
    for dialect in (POSTGRES, SQLITE):
        assert Plain().process_bind_param(None, dialect) is None
        assert Plain().process_result_value(None, dialect) is None
