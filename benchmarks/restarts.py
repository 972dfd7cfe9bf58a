"""How long a killed server takes until it serves again, with many live trials in its store."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from searchd.domain.facts import ProgressPut, TrialPut
from searchd.domain.study import StudyName
from searchd.domain.trial import FoldRun, FoldRunState, Origin, Trial, TrialNumber, TrialState
from searchd.stores.sql import open_sql_store
from tests.acceptance.faults.house import House, temporary_house

TRIALS = 1000
EPOCHS = 9


def restart_seconds(restarts: int) -> list[float]:
    """Seconds from the start of a server to its first answer, Ray being there, each after a kill -9."""
    with temporary_house() as house:
        name = house.study(
            "large",
            5.0,
            watched=False,
            scheduler={"algorithm": "asha", "mode": "promotion"},
            evaluation={"epochs": EPOCHS},
            budget={"trials": 2 * TRIALS},
            retry={"segment_timeout": "1h"},
        )
        house.await_epochs(name, 1)
        house.server.kill()
        _add_paused_trials(house.database, name)
        return [_restart(house, name) for _ in range(restarts)]


def _restart(house: House, name: StudyName) -> float:
    began = time.monotonic()
    house.start()
    counts = house.recorder.client.study(name).get().progress.trials
    seconds = time.monotonic() - began
    live = sum(count for state, count in counts.items() if not TrialState(state).ended)
    if live < TRIALS:
        raise RuntimeError(f"only {live} trials live")
    house.server.kill()
    return seconds


def _add_paused_trials(database: Path, name: StudyName) -> None:
    """Put trials beside those there are, each paused at the lowest rung: training them would take longer."""
    store = open_sql_store(f"sqlite:///{database}")
    try:
        first = store.trials(name, None, 0, TRIALS)
        now = datetime.now(UTC)
        facts = [TrialPut(_paused(name, number, now)) for number in range(len(first) + 1, TRIALS + 1)]
        progress = store.study(name).progress
        counts = {**progress.trials, "paused": progress.trials.get("paused", 0) + len(facts)}
        store.commit([*facts, ProgressPut(name, replace(progress, trials=counts))], now)
    finally:
        store.close()


def _paused(name: StudyName, number: int, now: datetime) -> Trial:
    score = 1.0 / number
    run = FoldRun(0, 0, FoldRunState.WAITING, target=1, epoch=1, attempt=1, scores=((1, score),))
    trial = Trial(name, TrialNumber(number), {"x": number / TRIALS}, Origin.SEARCH, now, TrialState.PAUSED, (score,))
    return replace(trial, fold_runs=(run,), started_at=now)
