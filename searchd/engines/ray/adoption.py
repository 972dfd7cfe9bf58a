"""Finds the workers that an earlier server left, and takes them over."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from searchd.domain.study import Resources, StudyName
from searchd.domain.trial import FoldRunKey, TrialNumber
from searchd.engines.ray.actors import answers_of, kill, named_actors
from searchd.engines.ray.calls import Adopt, Taken, packed, unpacked
from searchd.engines.ray.remote import RemoteWorker, Surroundings
from searchd.ports.engine import PoolKey, WorkerAdopted, WorkerId
from searchd.worker.messages import PROTOCOL_VERSION, StaleEpoch

_logger = logging.getLogger(__name__)

_ACTOR_TIMEOUT = timedelta(seconds=30)
"""An actor that lives answers at once, on a machine that has no time for it later; one without a place never does."""

_PROCESS_TIMEOUT = timedelta(seconds=2)
"""A process may take longer than any timeout, since its code need not let other threads run: it is not waited for."""


@dataclass(frozen=True, slots=True)
class AdoptedWorker:
    """A worker that was taken over, what to tell of it, and how it goes on.

    Attributes:
        worker: The worker.
        event: To be delivered first.
        taken: The process's answer, if it came in time.
        awaited: The reference of that answer, if it did not.
        leaving: Whether it speaks another version, and is to leave when it has saved what it holds.
    """

    worker: RemoteWorker
    event: WorkerAdopted
    taken: Taken | None = None
    awaited: Any = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class _Account:
    """What an actor knows of its worker."""

    protocol: int
    epoch: int
    pool: PoolKey
    holding: tuple[tuple[FoldRunKey, int], ...]


def adopt_all(surroundings: Surroundings) -> Sequence[AdoptedWorker]:
    """Take over all workers of the namespace, at the same time.

    Actors that do not answer are ended, and so are workers whose process has ended. Those of a newer server are left
    alone. Idle ones that speak another version are told to leave, and not heard of again.

    Raises:
        RayUnavailable: the cluster does not answer.
    """
    handles = named_actors()
    accounts = dict(_accounts(handles, surroundings.epoch))
    call = packed(Adopt(surroundings.epoch))
    calls = {
        name: handles[name].call.remote(call) for name, told in accounts.items() if told.protocol == PROTOCOL_VERSION
    }
    answers = answers_of(calls, _PROCESS_TIMEOUT)
    adopted = []
    for name, told in accounts.items():
        worker = RemoteWorker(name, surroundings, handles[name])
        event = WorkerAdopted(name, told.pool, told.holding)
        if name not in calls:
            _logger.warning("worker %s speaks version %d and is told to leave", name, told.protocol)
            if told.holding:
                adopted.append(AdoptedWorker(worker, event, leaving=True))
            else:
                handles[name].leave.remote()
        elif name not in answers:
            _logger.warning("worker %s is silent; what it holds is known, and it will be heard when it can", name)
            adopted.append(AdoptedWorker(worker, event, awaited=calls[name]))
        elif (taken := _taken(name, handles[name], answers[name])) is not None:
            event = WorkerAdopted(name, told.pool, taken.told.holding)
            adopted.append(AdoptedWorker(worker, event, taken=taken))
    return adopted


def _accounts(handles: Mapping[WorkerId, Any], epoch: int) -> Iterator[tuple[WorkerId, _Account]]:
    """What the actors tell of those workers that can be taken over, in the order of their names."""
    calls = {name: handle.account.remote(epoch) for name, handle in handles.items() if hasattr(handle, "account")}
    answers = answers_of(calls, _ACTOR_TIMEOUT)
    for name, handle in handles.items():
        try:
            account = _account(answers[name])
        except Exception as error:  # whatever a stranger may answer
            _logger.warning("worker %s cannot be taken over and is ended: %r", name, error)
            kill(handle)
            continue
        if account.epoch == epoch:
            yield name, account
        else:
            _logger.warning("worker %s belongs to a newer server", name)


def _account(answer: Any) -> _Account:
    if isinstance(answer, Exception):
        raise answer
    pool = answer["pool"]
    holding = tuple(
        (FoldRunKey(StudyName(study), TrialNumber(trial), repeat, fold, born), attempt)
        for study, trial, repeat, fold, born, attempt in answer["holding"]
    )
    resources = Resources(cpus=pool["cpus"], gpus=pool["gpus"])
    key = PoolKey(pool["code"], resources, pool.get("code_id", ""))
    return _Account(answer["protocol"], answer["epoch"], key, holding)


def _taken(name: WorkerId, handle: Any, answer: Any) -> Taken | None:
    """The process's answer; None if it has none, and then what the worker held must be handed out again."""
    try:
        if isinstance(answer, Exception):
            raise answer
        taken: Taken = unpacked(answer)
    except StaleEpoch as error:
        _logger.warning("worker %s: %s", name, error)
    except Exception as error:  # Ray's errors for a worker that is gone are of no one family
        _logger.warning("worker %s cannot be taken over: %s", name, error)
        kill(handle)
    else:
        return taken
    return None
