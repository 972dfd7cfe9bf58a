"""Where the randomness of a suggestion comes from: the study's seed and the suggestion's number, nothing else."""

import hashlib
import random


def seed_of(study_seed: int, number: int, attempt: int = 0) -> int:
    """The seed of one attempt at suggestion ``number``, in [0, 2**32); the same on every machine and Python."""
    text = f"{study_seed}/{number}/{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def uniforms(study_seed: int, number: int, count: int, attempt: int = 0) -> list[float]:
    """``count`` independent uniform draws in [0, 1) for one attempt at suggestion ``number``."""
    generator = random.Random(seed_of(study_seed, number, attempt))
    return [generator.random() for _ in range(count)]
