"""The global random generators of Python, numpy and torch. The latter two only if something has imported them."""

import hashlib
import pickle
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SEED_BITS = 31  # fits numpy's 32 bits and C's int


def fold_run_seed(study_seed: int, trial: int, repeat: int, fold: int) -> int:
    """A seed in [0, 2**31) that is the same on every machine and in every version of Python."""
    digest = hashlib.sha256(f"{study_seed}/{trial}/{repeat}/{fold}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def seed_everything(seed: int, device: str) -> None:
    """Seed the generators, those of the GPUs too if ``device`` is cuda."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        # torch.manual_seed visits every backend and takes 100 times as long.
        torch.default_generator.manual_seed(seed)
        if device == "cuda":
            torch.cuda.manual_seed_all(seed)


def save_states() -> bytes:
    """The generators' states."""
    states: dict[str, Any] = {"python": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        states["numpy"] = numpy.random.get_state()
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.get_rng_state().numpy().tobytes()
        if torch.cuda.is_initialized():
            states["cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return pickle.dumps(states)


def restore_states(saved: bytes) -> None:
    """Put the generators back into the states that ``save_states`` returned."""
    states: dict[str, Any] = pickle.loads(saved)  # noqa: S301  # written by a worker of this cluster
    random.setstate(states["python"])
    if "numpy" in states and (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.set_state(states["numpy"])
    if "torch" in states and (torch := sys.modules.get("torch")) is not None:
        torch.set_rng_state(_tensor(torch, states["torch"]))
        if "cuda" in states and torch.cuda.is_available() and torch.cuda.device_count() == len(states["cuda"]):
            torch.cuda.set_rng_state_all([_tensor(torch, state) for state in states["cuda"]])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The generators seeded with ``seed``, in [0, 2**32), for as long as the context lasts; then as they were."""
    saved = save_states()
    try:
        seed_everything(seed, "cpu")
        yield
    finally:
        restore_states(saved)


def _tensor(torch: Any, state: bytes) -> Any:
    return torch.frombuffer(bytearray(state), dtype=torch.uint8)
