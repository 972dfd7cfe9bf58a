"""The author's API: declaring spaces and registering trainables."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from searchd.domain.card import Form
from searchd.domain.objective import Goal
from searchd.domain.space import Choice, Condition, Float, Integer
from searchd.trainable import (
    Context,
    ParameterSpec,
    choice,
    current,
    grid,
    lograndint,
    loguniform,
    qloguniform,
    qrandint,
    quniform,
    randint,
    register,
    registered,
    trainable,
    uniform,
)

LOSS = {"loss": "minimize"}


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        (uniform(0, 1), Float(0.0, 1.0)),
        (loguniform(1e-5, 1e-1), Float(1e-5, 1e-1, log=True)),
        (quniform(0, 1, 0.25), Float(0.0, 1.0, step=0.25)),
        (qloguniform(0.5, 8, 0.5), Float(0.5, 8.0, log=True, step=0.5)),
        (randint(0, 3), Integer(0, 3)),
        (lograndint(1, 64), Integer(1, 64, log=True)),
        (qrandint(0, 64, 8), Integer(0, 64, step=8)),
        (choice(["a", 8, None]), Choice(("a", 8, None))),
        (grid([1, 2]), Choice((1, 2), grid=True)),
    ],
)
def test_shorthand_gives_the_domain_of_its_name(spec: ParameterSpec, domain: Any) -> None:
    """Each of Ray Tune's names makes the domain that study files get under that name."""
    assert (spec.domain, spec.when) == (domain, ())


def test_a_generator_is_registered_and_returned_unchanged() -> None:
    """The registry has all that was declared, parameters after those that their conditions name."""

    def plain(ctx: Context) -> Iterator[dict[str, Any]]:
        """Plain.

        And simple.
        """
        yield {"loss": 1.0}

    space = {"momentum": uniform(0, 0.99, when={"kind": ["sgd"]}), "kind": choice(["sgd", "adam"])}
    same = trainable(metrics=LOSS, space=space, default={"kind": "adam"}, name="plain-net")(plain)
    assert same is plain
    found = registered()["plain-net"]
    assert (found.target, found.form, found.description) == (plain, Form.GENERATOR, "Plain.")
    assert found.metrics == {"loss": Goal.MINIMIZE}
    assert found.space.names() == ("kind", "momentum")
    assert found.space.parameters[1].when == (Condition("kind", ("sgd",)),)
    assert (found.default, found.checkpoints, found.folds) == ({"kind": "adam"}, False, True)


def test_a_default_may_name_what_is_not_searched() -> None:
    """Parameters beside the space are declared by the default alone."""
    trainable(metrics=LOSS, space={"lr": uniform(0, 1)}, default={"lr": 0.5, "layers": 3}, name="more")(one)
    assert registered()["more"].default == {"lr": 0.5, "layers": 3}
    assert registered()["more"].space.names() == ("lr",)


def test_gradients_are_of_declared_metrics() -> None:
    """A trainable may declare that it reports a metric's derivatives; of an unknown metric it cannot."""
    trainable(metrics=LOSS, name="steep", gradients=["loss"])(one)
    assert registered()["steep"].gradients == ("loss",)
    with pytest.raises(ValueError, match="one: gradients names 'los'; name metrics that it declares"):
        trainable(metrics=LOSS, name="blunt", gradients=["los"])(one)


def test_checkpoints_follow_from_the_code_unless_declared() -> None:
    """Calling ctx.keep, also in a function inside, means checkpoints; a declaration has the last word."""

    def keeps(ctx: Context) -> Iterator[dict[str, Any]]:
        def build() -> None:
            ctx.keep(at=1)

        build()
        yield {"loss": 1.0}

    for name, declared, expected in (("seen", None, True), ("denied", False, False)):
        trainable(metrics=LOSS, name=name, checkpoints=declared)(keeps)
        assert registered()[name].checkpoints is expected


def one(ctx: Context) -> Iterator[dict[str, Any]]:
    """The first."""
    yield {"loss": 1.0}


def two(ctx: Context) -> Iterator[dict[str, Any]]:
    """The second."""
    yield {"loss": 1.0}


def test_a_taken_name_is_refused_but_a_reload_is_not() -> None:
    """Two objects cannot share a name; the same one may be registered again, as when a module is reloaded."""
    trainable(metrics=LOSS, name="taken")(one)
    trainable(metrics=LOSS, name="taken")(one)
    with pytest.raises(
        ValueError, match=r"test_trainable\.py:two: the name 'taken' is taken by .*:one; give another name="
    ):
        trainable(metrics=LOSS, name="taken")(two)
    assert registered()["taken"].target is one


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"metrics": {"loss": "lower"}}, "metrics.loss is 'lower'; use 'maximize' or 'minimize'"),
        ({"metrics": {}}, "metrics is empty; name every metric that it yields"),
        ({"metrics": LOSS, "space": {"lr": loguniform(0, 1)}}, "space.lr.loguniform: the lower bound 0.0 is not above"),
        ({"metrics": LOSS, "space": {"lr": uniform(0, 1, when={"k": [1]})}}, "space.lr.when.k: there is no parameter"),
        ({"metrics": LOSS, "space": {"lr": uniform(0, 1)}, "default": {}}, "default.lr: is missing"),
        ({"metrics": LOSS, "space": {"lr": uniform(0, 1)}, "default": {"lr": 2}}, "default.lr: 2 is not in its domain"),
    ],
)
def test_wrong_declarations_are_refused_where_they_are_made(declared: dict[str, Any], message: str) -> None:
    """The error names the field and the remedy, and nothing is registered."""
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(".", r"\.")):
        trainable(**declared, name="wrong")(one)
    assert "wrong" not in registered()


def test_what_is_no_trainable_is_refused() -> None:
    """A function that yields nothing, a class without Ray Tune's methods, a function of two arguments: TypeError."""
    with pytest.raises(TypeError, match="must be a generator function"):
        trainable(metrics=LOSS)(lambda ctx: iter(()))
    with pytest.raises(TypeError, match=r"is not a ray\.tune\.Trainable"):
        register(dict)
    with pytest.raises(TypeError, match="nor a function of one argument"):
        register(lambda a, b: None)


def test_tune_forms_are_known_by_their_looks() -> None:
    """A class with Ray Tune's methods and a function of the config are told apart without Ray, and have no folds."""

    class Looks:
        """Looks like one."""

        setup = step = train = save = restore = save_checkpoint = print

    def tunes(config: dict[str, Any]) -> None:
        """Tunes."""

    register(Looks)
    register(tunes, metrics=LOSS, folds=True)
    a_class, function = registered()["Looks"], registered()["tunes"]
    assert (a_class.form, a_class.checkpoints, a_class.folds, a_class.metrics) == (Form.TUNE_CLASS, True, False, {})
    assert (function.form, function.checkpoints, function.folds) == (Form.TUNE_FUNCTION, False, True)


def test_there_is_no_current_fold_run_outside_of_one() -> None:
    """current() says where it works."""
    with pytest.raises(RuntimeError, match="works only inside a trainable"):
        current()


def test_importing_the_api_loads_nothing_heavy() -> None:
    """An author's module stays importable without Ray, numpy or the service's own vendors."""
    program = (
        "import sys, searchd.trainable; "
        "print(sorted({'ray', 'numpy', 'torch', 'pandas', 'grpc', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
