"""Any study, trial, event and ranking that the domain can hold."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from searchd.domain.card import Card, Form
from searchd.domain.evaluation import Confirm, Evaluation, Racing, Score, Split
from searchd.domain.facts import Event, MeasurementAdded, ProgressPut, StudyDeleted, StudyPut, TrialPut
from searchd.domain.failure import Failure
from searchd.domain.fidelity import Fidelity
from searchd.domain.leaderboard import BestConfig, Entry, Leaderboard, PairedDifference
from searchd.domain.measurement import Measurement
from searchd.domain.objective import Goal, Limit, Objective
from searchd.domain.parent import Parent
from searchd.domain.scheduler import Scheduler, SchedulerAlgorithm, SchedulerMode
from searchd.domain.search import Algorithm, Search
from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace
from searchd.domain.study import (
    Best,
    Budget,
    Confirmed,
    Dataset,
    FrontPoint,
    Progress,
    Resources,
    Retry,
    Study,
    StudyName,
    StudySpec,
    StudyState,
)
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber, TrialState

STUDY = StudyName("projects/default/studies/digits")


def _as_shown(trial: Trial) -> Trial:
    """The trial with only what callers are told of its fold runs."""
    runs = []
    for run in trial.fold_runs:
        scores = ((run.epoch, run.scores[-1][1]),) if run.scores else ()
        state = FoldRunState.WAITING if scores else FoldRunState.READY
        if run.state is FoldRunState.HANDED_OUT:
            state = run.state
        elif trial.state.ended:
            state = FoldRunState.FINISHED
        runs.append(replace(run, state=state, target=run.epoch, scores=scores))
    return replace(trial, fold_runs=tuple(runs))


def _without_fixed(study: Study) -> Study:
    return replace(study, spec=replace(study.spec, fixed={}))


texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**31 - 1)
seeds = st.integers(0, 2**32 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
durations = st.timedeltas(timedelta(0), timedelta(days=10_000))

json_values = st.recursive(
    st.none() | st.booleans() | int64s | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
parameters = st.dictionaries(names, json_values, max_size=4)

floats = st.builds(Float, numbers, numbers, st.booleans(), st.none() | numbers)
integers = st.builds(Integer, int64s, int64s, st.booleans(), int64s)
choices = st.builds(Choice, st.lists(json_values, max_size=4).map(tuple), st.booleans())


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces whose conditions name earlier parameters only, as spaces are."""
    found: list[Parameter] = []
    for name in draw(st.lists(names, max_size=5, unique=True)):
        domain: Domain = draw(floats | integers | choices)
        when = []
        if found:
            for earlier in draw(st.lists(st.sampled_from([p.name for p in found]), max_size=2, unique=True)):
                when.append(Condition(earlier, tuple(draw(st.lists(json_values, min_size=1, max_size=3)))))
        found.append(Parameter(name, domain, tuple(when)))
    return SearchSpace(tuple(found))


optional_texts = st.none() | names
datasets = st.builds(
    Dataset,
    builtin=optional_texts,
    uri=optional_texts,
    target=optional_texts,
    drop=st.lists(texts, max_size=3).map(tuple),
    groups=optional_texts,
    order_by=optional_texts,
    fold_column=optional_texts,
    test=st.none() | st.floats(0.01, 0.99),
)
ladders = st.lists(st.builds(Fidelity, counts, counts), max_size=4).map(tuple)
evaluations = st.builds(
    lambda folds, holdout, **rest: Evaluation(folds=folds, holdout=0.2 if folds else holdout, **rest),
    folds=st.just(0) | st.integers(2, 50),
    holdout=st.floats(0.01, 0.99),
    split=st.sampled_from(Split),
    split_seed=seeds,
    repeats=st.integers(1, 9),
    epochs=st.integers(1, 1000),
    score=st.sampled_from(Score),
    racing=st.sampled_from(Racing),
    ladder=ladders,
    confirm=st.none() | st.builds(Confirm, counts, counts, numbers),
)
searches = st.builds(
    lambda algorithm, default, ray, cost: Search(algorithm, default, ray if algorithm is Algorithm.RAY else "", cost),
    st.sampled_from(Algorithm),
    st.booleans(),
    names,
    st.booleans(),
)
schedulers = st.builds(
    lambda algorithm, ray, **rest: Scheduler(algorithm, ray=ray if algorithm is SchedulerAlgorithm.RAY else "", **rest),
    st.sampled_from(SchedulerAlgorithm),
    names,
    eta=st.integers(2, 9),
    mode=st.sampled_from(SchedulerMode),
    metric=st.none() | names,
    brackets=st.integers(1, 9),
    explore=st.lists(names, max_size=2).map(tuple),
)
specs = st.builds(
    StudySpec,
    trainable=names,
    objectives=st.lists(
        st.builds(Objective, names, st.sampled_from(Goal), st.none() | numbers), min_size=1, max_size=3
    ).map(tuple),
    limits=st.lists(
        st.builds(Limit, names, at_most=numbers) | st.builds(Limit, names, at_least=numbers), max_size=2
    ).map(tuple),
    warm_start=st.lists(names, max_size=2).map(tuple),
    parent=st.none() | st.builds(Parent, names.filter(bool), st.none() | st.integers(1, 99)),
    track=st.lists(names, max_size=2).map(tuple),
    space=spaces(),
    dataset=st.none() | datasets,
    fixed=parameters,
    seed=seeds,
    search=searches,
    scheduler=schedulers,
    evaluation=evaluations,
    resources=st.builds(Resources, numbers, numbers),
    budget=st.builds(
        Budget,
        st.integers(1, 10_000),
        st.none() | counts,
        st.none() | durations,
        st.none() | numbers,
        st.none() | counts,
    ),
    retry=st.builds(Retry, counts, durations, st.none() | durations, st.dictionaries(st.sampled_from(Failure), counts)),
    priority=st.integers(-(2**31), 2**31 - 1),
    labels=st.dictionaries(names, texts, max_size=3),
)
progresses = st.builds(
    Progress,
    trials=st.dictionaries(st.sampled_from([s.value for s in TrialState]), counts),
    rungs=st.lists(counts, max_size=4).map(tuple),
    best=st.none() | st.builds(Best, counts, numbers),
    default_score=st.none() | numbers,
    busy=counts,
    epochs=int64s,
    full_epochs=int64s,
    train_seconds=numbers,
    front=st.lists(st.builds(FrontPoint, counts, st.lists(numbers, max_size=3).map(tuple)), max_size=2).map(tuple),
    worst=st.lists(numbers, max_size=3).map(tuple),
    search_log=st.lists(texts, max_size=2).map(tuple),
    since_best=counts,
    follow_ups=counts,
    confirmed=st.lists(st.builds(Confirmed, counts, numbers, *(st.none() | numbers for _ in range(4))), max_size=2).map(
        tuple
    ),
)
studies = st.builds(
    Study,
    name=st.just(STUDY),
    spec=specs,
    code=texts,
    data=texts,
    created_at=times,
    state=st.sampled_from(StudyState),
    reason=texts,
    started_at=st.none() | times,
    ended_at=st.none() | times,
    progress=progresses,
)
fold_runs = st.builds(
    FoldRun,
    repeat=counts,
    fold=counts,
    state=st.sampled_from(FoldRunState),
    target=counts,
    epoch=counts,
    attempt=counts,
    failures=st.lists(st.sampled_from(Failure), max_size=3).map(tuple),
    scores=st.lists(st.tuples(counts, numbers), max_size=3).map(tuple),
)
trials = st.builds(
    Trial,
    study=st.just(STUDY),
    number=st.integers(1, 2**31 - 1).map(TrialNumber),
    parameters=parameters,
    origin=st.sampled_from(Origin),
    created_at=times,
    state=st.sampled_from(TrialState),
    scores=st.lists(numbers, max_size=4).map(tuple),
    fold_runs=st.lists(fold_runs, max_size=4).map(tuple),
    reason=texts,
    log_tail=texts,
    started_at=st.none() | times,
    ended_at=st.none() | times,
    train_seconds=numbers,
    failure=st.none() | st.sampled_from(Failure),
    others=st.lists(numbers, max_size=2).map(tuple),
    feasible=st.booleans(),
    note=texts,
    of=st.none() | st.integers(1, 2**31 - 1).map(TrialNumber),
    of_epoch=counts,
)
shown_trials = trials.map(_as_shown)
measurements = st.builds(
    Measurement,
    trial=counts,
    repeat=counts,
    fold=counts,
    epoch=counts,
    attempt=counts,
    metrics=st.dictionaries(names, st.floats(allow_nan=False), max_size=3),
    seconds=numbers,
    at=times,
)
facts = (
    st.builds(StudyPut, studies)
    | st.builds(ProgressPut, st.just(STUDY), progresses)
    | st.builds(TrialPut, shown_trials)
    | st.builds(MeasurementAdded, st.just(STUDY), measurements)
    | st.builds(StudyDeleted, st.just(STUDY))
)
events = st.builds(Event, st.integers(1, 2**63 - 1), times, facts)
differences = st.builds(PairedDifference, numbers, numbers, numbers, counts)
entries = st.builds(
    Entry,
    rank=counts,
    trial=shown_trials,
    mean=numbers,
    standard_error=st.none() | numbers,
    versus_first=st.none() | differences,
    rung=st.builds(Fidelity, counts, counts),
    metrics=st.dictionaries(names, numbers, max_size=3),
)
unfixed_studies = studies.map(_without_fixed)
leaderboards = st.builds(Leaderboard, unfixed_studies, st.lists(entries, max_size=3).map(tuple))
bests = st.builds(
    BestConfig,
    study=unfixed_studies,
    best=entries,
    parameters=parameters,
    default=st.none() | entries,
    gain=st.none() | differences,
    tied=st.lists(counts, max_size=3).map(tuple),
    remarks=st.lists(texts, max_size=2).map(tuple),
)
cards = st.builds(
    Card,
    name=names,
    description=texts,
    form=st.sampled_from(Form),
    metrics=st.dictionaries(names, st.sampled_from(Goal), max_size=3),
    space=spaces(),
    default=st.none() | st.dictionaries(names, json_values, min_size=1, max_size=3),
    checkpoints=st.booleans(),
    folds=st.booleans(),
    code=texts,
    gradients=st.lists(names, max_size=2).map(tuple),
)
