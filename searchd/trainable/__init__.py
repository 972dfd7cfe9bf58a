"""What the author of a trainable imports: the decorator, the search space, the context. Needs no Ray and no numpy.

A trainable is a generator function that yields its metrics once per epoch::

    @trainable(metrics={"accuracy": "maximize"}, space={"lr": loguniform(1e-5, 1e-1)})
    def my_net(ctx):
        net, data = Net(), ctx.dataset()
        ctx.keep(net=net)
        for epoch in ctx.epochs():
            yield {"accuracy": accuracy}

A ``ray.tune.Trainable`` class or a function that calls ``tune.report`` is registered unmodified with ``register``.
"""

from searchd.trainable.context import Context, Host, Infeasible, Params, TrainedModel, current, set_current
from searchd.trainable.parent import MissingPart, ParentTrial
from searchd.trainable.registry import GeneratorFunction, Registration, register, registered, trainable
from searchd.trainable.space import (
    ParameterSpec,
    When,
    choice,
    grid,
    lograndint,
    loguniform,
    qloguniform,
    qrandint,
    quniform,
    randint,
    uniform,
)

__all__ = [
    "Context",
    "GeneratorFunction",
    "Host",
    "Infeasible",
    "MissingPart",
    "ParameterSpec",
    "Params",
    "ParentTrial",
    "Registration",
    "TrainedModel",
    "When",
    "choice",
    "current",
    "grid",
    "lograndint",
    "loguniform",
    "qloguniform",
    "qrandint",
    "quniform",
    "randint",
    "register",
    "registered",
    "set_current",
    "trainable",
    "uniform",
]
