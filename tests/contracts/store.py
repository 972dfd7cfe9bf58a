"""What every store promises. Subclass it and give two fixtures: ``store``, a new, empty store, and ``opened_again``,
which opens the same contents as another server would."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from searchd.domain.errors import RevisionExpired, StoreUnavailable, StudyNotFound
from searchd.domain.facts import (
    Fact,
    MeasurementAdded,
    ProgressPut,
    RequestAnswered,
    StudyDeleted,
    StudyPut,
    TrialPut,
)
from searchd.domain.study import Progress, StudyState, study_name
from searchd.domain.trial import FoldRunState, TrialNumber, TrialState
from searchd.ports.store import Store
from tests.contracts.lease import LeaseContract
from tests.contracts.makers import AT, STUDY, fold_run, measurement, minimizing, spec, study, trial
from tests.contracts.stored_values import StoredValuesContract, keys, names, whole

OTHER = study_name("default", "other")
ORPHANS: Sequence[Fact] = (
    TrialPut(trial(1, study=OTHER)),
    ProgressPut(OTHER, Progress()),
    MeasurementAdded(OTHER, measurement()),
    MeasurementAdded(STUDY, measurement(trial=99)),
)


class StoreContract(StoredValuesContract, LeaseContract):
    """The promises of the port, one test each: here of the log, inherited those of reading state and of the lease."""

    # The log

    def test_identity_is_hexadecimal_and_stays(self, store: Store) -> None:
        """A store has a random id of 32 hex digits that does not change."""
        assert len(store.identity()) == 32
        assert int(store.identity(), 16) >= 0
        assert store.identity() == store.identity()

    def test_new_store_is_empty(self, store: Store) -> None:
        """A new store is at revision 0 and holds nothing."""
        assert store.revision() == 0
        assert list(store.events(0, None, 10)) == []
        assert names(store) == []
        assert list(store.live()) == []

    def test_revisions_are_contiguous_over_all_studies(self, store: Store) -> None:
        """Facts are numbered from 1 without gaps, whatever study and batch they belong to."""
        assert store.commit([StudyPut(study()), TrialPut(trial())], AT) == 2
        assert store.commit([StudyPut(study(OTHER)), TrialPut(trial(2))], AT) == 4
        assert store.revision() == 4
        assert [e.revision for e in store.events(0, None, 10)] == [1, 2, 3, 4]

    def test_empty_batch_changes_nothing(self, store: Store) -> None:
        """Committing no facts returns the log's end and takes no revision."""
        assert store.commit([], AT) == 0
        store.commit([StudyPut(study())], AT)
        assert store.commit([], AT) == 1
        assert store.commit([TrialPut(trial())], AT) == 2

    def test_events_give_back_the_facts(self, store: Store) -> None:
        """Each event is the fact that was committed, with the time of its batch."""
        first: list[Fact] = [StudyPut(study()), TrialPut(trial()), MeasurementAdded(STUDY, measurement())]
        later: list[Fact] = [
            ProgressPut(STUDY, Progress({"running": 1}, (1, 0), busy=1, epochs=1, train_seconds=0.5)),
            StudyPut(study().stopping("enough")),
            TrialPut(trial().climbed(0.9)),
        ]
        store.commit(first, AT)
        store.commit(later, AT + timedelta(seconds=1))
        events = store.events(0, None, 10)
        assert [e.fact for e in events] == first + later
        assert [e.at for e in events] == [AT] * 3 + [AT + timedelta(seconds=1)] * 3
        assert events[0].at.utcoffset() == timedelta(0)

    def test_events_resume_and_are_limited(self, store: Store) -> None:
        """Events are those after a revision, the oldest of them first, no more than the limit."""
        store.commit([StudyPut(study()), *(TrialPut(trial(n)) for n in range(1, 6))], AT)
        assert [e.revision for e in store.events(2, None, 3)] == [3, 4, 5]
        assert [e.revision for e in store.events(5, None, 3)] == [6]
        assert list(store.events(6, None, 3)) == []
        assert list(store.events(60, None, 3)) == []

    def test_events_of_one_study(self, store: Store) -> None:
        """With a study given, only its events are listed, and the limit counts only those."""
        store.commit([StudyPut(study()), StudyPut(study(OTHER))], AT)
        store.commit([TrialPut(trial()), TrialPut(trial(study=OTHER)), MeasurementAdded(STUDY, measurement())], AT)
        assert [e.revision for e in store.events(0, STUDY, 10)] == [1, 3, 5]
        assert [e.revision for e in store.events(1, OTHER, 1)] == [2]

    def test_same_value_put_twice_in_a_batch(self, store: Store) -> None:
        """Of a value put twice in a batch the last stands, and the log has both."""
        pending, done = trial(state=TrialState.PENDING), trial().ended(TrialState.COMPLETED, AT)
        store.commit([StudyPut(study()), TrialPut(pending), TrialPut(done)], AT)
        assert store.trial(STUDY, TrialNumber(1)) == done
        assert [e.fact for e in store.events(1, None, 10)] == [TrialPut(pending), TrialPut(done)]

    @pytest.mark.parametrize("orphan", ORPHANS, ids=lambda f: type(f).__name__)
    def test_commit_is_all_or_nothing(self, store: Store, orphan: Fact) -> None:
        """When the third of five facts cannot be stored, none is, and the store goes on as if never asked."""
        store.commit([StudyPut(study())], AT)
        new = study_name("default", "new")
        before = store.study(STUDY)
        facts: list[Fact] = [StudyPut(study(new)), TrialPut(trial()), orphan, ProgressPut(STUDY, Progress(busy=7))]
        with pytest.raises(StoreUnavailable):
            store.commit([*facts, RequestAnswered("r1", "d", study())], AT)
        assert store.revision() == 1
        assert len(store.events(0, None, 10)) == 1
        assert names(store) == ["digits"]
        assert store.study(STUDY) == before
        assert list(store.trials(STUDY, None, 0, 10)) == []
        assert store.answered("r1") is None
        assert store.commit([StudyPut(study(new)), TrialPut(trial(study=new))], AT) == 3
        assert store.study(new) == study(new)

    def test_trimming_forgets_the_oldest_events(self, store: Store) -> None:
        """After trimming only the newest events remain; asking for older ones says which is the oldest kept."""
        store.commit([StudyPut(study()), *(TrialPut(trial(n)) for n in range(1, 6))], AT)
        store.trim_events(2)
        assert [e.revision for e in store.events(4, None, 10)] == [5, 6]
        for read in (None, STUDY):
            with pytest.raises(RevisionExpired) as raised:
                store.events(3, read, 10)
            assert raised.value.oldest == 5

    def test_trimming_leaves_state_alone(self, store: Store) -> None:
        """Trimming away all events loses no study, trial or measurement, and numbering goes on."""
        store.commit([StudyPut(study()), TrialPut(trial()), MeasurementAdded(STUDY, measurement())], AT)
        store.trim_events(0)
        assert store.revision() == 3
        assert store.study(STUDY) == study()
        assert store.trial(STUDY, TrialNumber(1)) == trial()
        assert store.measurements(STUDY, None, None, 10)[0] == measurement()
        assert store.commit([TrialPut(trial(2))], AT) == 4
        assert [e.revision for e in store.events(3, None, 10)] == [4]

    def test_trimming_less_than_there_is_does_nothing(self, store: Store) -> None:
        """Trimming to more events than there are, or less than before, forgets nothing."""
        store.commit([StudyPut(study()), TrialPut(trial()), TrialPut(trial(2))], AT)
        store.trim_events(50)
        assert len(store.events(0, None, 10)) == 3
        store.trim_events(1)
        store.trim_events(3)
        assert [e.revision for e in store.events(2, None, 10)] == [3]
        with pytest.raises(RevisionExpired):
            store.events(1, None, 10)

    # Deletion, answers, recovery

    def test_deletion_removes_the_study_only(self, store: Store) -> None:
        """Deleting a study removes all of it and its events but the last, and nothing of others."""
        for name in (STUDY, OTHER):
            facts: list[Fact] = [TrialPut(trial(study=name)), MeasurementAdded(name, measurement())]
            store.commit([StudyPut(study(name, spec=spec(labels={"a": "b"}))), *facts], AT)
        assert store.commit([ProgressPut(STUDY, Progress(busy=1)), StudyDeleted(STUDY)], AT) == 8
        with pytest.raises(StudyNotFound):
            store.study(STUDY)
        assert names(store, labels={"a": "b"}) == ["other"]
        assert [live.study.name for live in whole(store.live())] == [OTHER]
        assert [e.revision for e in store.events(0, None, 10)] == [4, 5, 6, 8]
        assert [e.fact for e in store.events(0, STUDY, 10)] == [StudyDeleted(STUDY)]
        assert list(store.trials(OTHER, None, 0, 10)) == [trial(study=OTHER)]
        assert list(store.measurements(OTHER, None, None, 10)) == [measurement()]

    def test_name_can_be_used_again(self, store: Store) -> None:
        """A study may be deleted and created anew under its name, in one batch or several, and inherits nothing."""
        store.commit([StudyPut(study()), TrialPut(trial(1, scores=(0.5,))), MeasurementAdded(STUDY, measurement())], AT)
        again = study(spec=minimizing())
        batches: list[list[Fact]] = [[StudyDeleted(STUDY), StudyPut(again)], [StudyDeleted(STUDY)], [StudyPut(again)]]
        for batch in batches:
            store.commit(batch, AT)
        assert store.study(STUDY) == again
        assert list(store.trials(STUDY, None, 0, 10)) == []
        assert list(store.measurements(STUDY, None, None, 10)) == []
        with pytest.raises(StoreUnavailable):
            store.commit([MeasurementAdded(STUDY, measurement())], AT)
        store.commit([TrialPut(trial(n, scores=(n / 10,))) for n in (1, 2)], AT)
        assert [t.number for t in store.ranked(STUDY, 10)] == [1, 2]

    def test_answers_are_remembered(self, store: Store) -> None:
        """A request_id is remembered with its digest and answer, also after the study is gone, but is no event."""
        pending = study(state=StudyState.PENDING, started_at=None)
        assert store.commit([StudyPut(pending), RequestAnswered("r-1", "d1g3st", pending), TrialPut(trial())], AT) == 3
        store.commit([StudyDeleted(STUDY)], AT)
        answer = store.answered("r-1")
        assert answer is not None
        assert (answer.digest, answer.study) == ("d1g3st", pending)
        assert store.answered("r-2") is None
        assert [e.revision for e in store.events(0, None, 10)] == [4]

    def test_any_request_id_is_remembered(self, store: Store) -> None:
        """A request_id may have any characters, and one is never taken for another."""
        ids = ["", "a", "a\0", "a\0\0", "a\1", "a\1\1", "a\1\2", "a'\"%_\\", "é", "e\u0301", "😀", "A", "a "]
        store.commit([StudyPut(study()), *(RequestAnswered(i, f"digest of {i}", study()) for i in ids)], AT)
        answers = [store.answered(i) for i in ids]
        assert [answer and answer.digest for answer in answers] == [f"digest of {i}" for i in ids]
        assert store.answered("a\2") is None

    def test_answer_alone_takes_a_revision(self, store: Store) -> None:
        """An answer that ends the log counts in its revision, though it is not listed."""
        store.commit([StudyPut(study())], AT)
        assert store.commit([RequestAnswered("r", "d", study())], AT) == 2
        assert store.revision() == 2
        assert list(store.events(1, None, 10)) == []

    def test_live_studies_come_in_creation_order(self, store: Store) -> None:
        """Live studies are those that have not ended, in the order of their creation, whatever happened since."""
        ids = ["c", "a", "b", "d"]
        made = [study(study_name("default", i), state=StudyState.PENDING, started_at=None) for i in ids]
        store.commit([StudyPut(s) for s in made], AT)
        store.commit([StudyPut(made[2].started(AT)), StudyPut(made[0].started(AT))], AT)
        store.commit([StudyPut(made[1].failed(AT, "why")), StudyPut(made[3].paused("fault"))], AT)
        assert [live.study for live in whole(store.live())] == [
            made[0].started(AT),
            made[2].started(AT),
            made[3].paused("fault"),
        ]

    def test_live_studies_bring_what_is_needed_to_go_on(self, store: Store) -> None:
        """A live study comes with all trials by number and the measurements of the fold runs handed out."""
        waiting = fold_run(1, state=FoldRunState.WAITING)
        trials = [trial(1, fold_runs=(fold_run(0), waiting)), trial(2, fold_runs=(waiting,)), trial(3)]
        added = [measurement(n, fold=f, epoch=e) for n, f, e in ((3, 0, 1), (1, 0, 2), (1, 0, 1), (1, 1, 1), (2, 1, 1))]
        store.commit([StudyPut(study()), *(TrialPut(t) for t in reversed(trials))], AT)
        store.commit([MeasurementAdded(STUDY, m) for m in added], AT)
        (live,) = whole(store.live())
        assert list(live.trials) == trials
        assert keys(live.measurements) == [(1, 0, 0, 1), (1, 0, 0, 2), (3, 0, 0, 1)]

    def test_code_is_used_as_long_as_a_study_names_it(self, store: Store) -> None:
        """Code of an id is used while a study of any project names it in its definition, ended or not."""
        kept, other = "0123456789abcdef" * 4, "fedcba9876543210" * 4
        elsewhere = study_name("research", "digits")
        assert not store.uses_code(kept)
        store.commit(
            [StudyPut(study(spec=spec(code_id=kept))), StudyPut(study(elsewhere, spec=spec(code_id=kept)))], AT
        )
        assert (store.uses_code(kept), store.uses_code(other)) == (True, False)
        assert store.study(STUDY).spec.code_id == kept
        store.commit([StudyDeleted(STUDY)], AT)
        assert store.uses_code(kept)
        store.commit([StudyDeleted(elsewhere)], AT)
        assert not store.uses_code(kept)

    def test_closed_store_refuses(self, store: Store) -> None:
        """A store that was closed raises StoreUnavailable; closing again is allowed."""
        store.commit([StudyPut(study())], AT)
        store.close()
        store.close()
        uses = (
            store.revision,
            store.begin_epoch,
            store.live,
            lambda: store.study(STUDY),
            lambda: store.commit([StudyPut(study())], AT),
            lambda: store.trim_events(1),
        )
        for use in uses:
            with pytest.raises(StoreUnavailable):
                use()
