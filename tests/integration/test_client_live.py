"""The live view on a terminal."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from searchd.client import Client
from searchd.client.live import live_console, show_live
from searchd.domain.errors import StudyNotFound
from searchd.domain.facts import Event, Fact, ProgressPut, StudyDeleted, StudyPut
from searchd.domain.study import StudyState
from searchd.v1 import study_service_pb2
from searchd.wire.codec import encode_event, encode_study
from tests.unit.client import samples
from tests.unit.client.front import Front, refuse, serving


@pytest.fixture
def front() -> Iterator[Front]:
    with serving(Front()) as front:
        yield front


def say(front: Front, *facts: Fact) -> None:
    events = [encode_event(Event(i, samples.START, fact), {}) for i, fact in enumerate(facts, start=1)]
    front.answers["WatchStudy"] = lambda *_: iter(events)


def test_the_last_picture_stays(front: Front) -> None:
    """When the study has ended, header and ranking stand on the terminal, within its width."""
    ended = samples.study(StudyState.SUCCEEDED)
    say(front, ProgressPut(samples.NAME, samples.PROGRESS), StudyPut(ended))
    front.answers["GetStudy"] = lambda *_: study_service_pb2.GetStudyResponse(study=encode_study(ended))
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, color_system=None, legacy_windows=False)
    with Client(front.address) as client:
        study = client.study("digits-cnn")
        assert show_live(study, study.watch(), console).state is StudyState.SUCCEEDED
    picture = written.getvalue()
    assert "digits-cnn SUCCEEDED 04:12   38/200 trials" in picture
    assert "2     29  .9812 ±.0042  -.0021 tied    5/5     27  14.2  2.2e-3  adam" in picture


def test_a_study_that_is_deleted_meanwhile_is_not_found(front: Front) -> None:
    """The view ends with the error that anybody would get who asks for the study now."""
    say(front, StudyDeleted(samples.NAME))
    asked = []

    def answer(request: study_service_pb2.GetStudyRequest, context: object) -> object:
        asked.append(request)
        if len(asked) > 1:
            refuse(context, StudyNotFound(request.name))  # type: ignore[arg-type]
        return study_service_pb2.GetStudyResponse(study=encode_study(samples.study()))

    front.answers["GetStudy"] = answer
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Client(front.address) as client, pytest.raises(StudyNotFound):
        show_live(client.study("digits-cnn"), client.study("digits-cnn").watch(), console)


def test_progress_is_shown_only_to_somebody() -> None:
    """False never shows it, True always, None only on a terminal or in a notebook."""
    assert live_console(False) is None
    assert live_console(None) is None  # pytest captures the output
    assert live_console(True) is not None
