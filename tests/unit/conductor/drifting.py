"""A trainable in virtual time whose best learning rate changes while it trains: a quadratic whose optimum drifts.

In the first half the optimum moves, and then stands still. Each epoch gradient descent takes one noisy step of the
given rate towards it, along directions of high and of low curvature. At first a high rate is best, to keep up where the
curvature is low; in the end a low one, to average the noise away where it is high.
"""

import math
import random
from collections.abc import Iterator
from datetime import timedelta

from searchd.domain.space import Float, Parameter, SearchSpace
from searchd.domain.study import StudyName
from searchd.engines.simulated import Epoch
from searchd.ports.engine import Segment

RATES = SearchSpace((Parameter("rate", Float(0.01, 1.0, log=True)),))
CURVATURES = (1.0, 0.05) * 25
NOISE = 1.0
DRIFT = 10.0


class Drifting:
    """A Behaviour. Minimises ``loss``: the mean square distance to the optimum after the epoch.

    Attributes:
        began: (trial, fold, epoch) at which each segment began.
    """

    def __init__(self) -> None:
        self.began: list[tuple[int, int, int]] = []
        self._states: dict[tuple[StudyName, int, int, int], list[float]] = {}

    def __call__(self, segment: Segment, epoch: int) -> Iterator[Epoch]:
        study, seed, fold = segment.task.study, segment.task.seed, segment.fold
        self.began.append((segment.trial, fold, epoch))
        at = [0.0] * len(CURVATURES)
        if epoch:
            own = self._states.get((study, segment.trial, fold, epoch))
            donor = segment.donor.trial if segment.donor is not None else segment.trial
            at = own if own is not None else self._states[study, donor, fold, epoch]
        rate, epochs = segment.parameters["rate"], segment.task.evaluation.epochs
        for number in range(epoch + 1, epochs + 1):
            optimum = DRIFT * min(2 * number / epochs, 1.0)
            chance = random.Random(f"{seed} {segment.trial} {fold} {number}")
            at = [
                x + rate * curvature * (optimum - x + NOISE * chance.gauss(0, 1))
                for x, curvature in zip(at, CURVATURES, strict=True)
            ]
            self._states[study, segment.trial, fold, number] = at
            loss = math.fsum((x - optimum) ** 2 for x in at) / len(at)
            yield Epoch({"loss": loss}, timedelta(seconds=1))
