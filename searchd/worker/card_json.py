"""Cards as JSON, on their way from the process that imports trainables to the one that must not."""

from typing import Any

from searchd.domain.card import Card, Form
from searchd.domain.objective import Goal
from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace


def card_to_json(card: Card) -> dict[str, Any]:
    """The card as a JSON object."""
    return {
        "name": card.name,
        "description": card.description,
        "form": card.form.value,
        "metrics": {name: goal.value for name, goal in card.metrics.items()},
        "space": [_parameter_to_json(parameter) for parameter in card.space.parameters],
        "default": None if card.default is None else dict(card.default),
        "checkpoints": card.checkpoints,
        "folds": card.folds,
        "code": card.code,
        "gradients": list(card.gradients),
        "parent": card.parent,
    }


def card_from_json(document: dict[str, Any]) -> Card:
    """The card that ``card_to_json`` wrote."""
    return Card(
        document["name"],
        document["description"],
        Form(document["form"]),
        {name: Goal(goal) for name, goal in document["metrics"].items()},
        SearchSpace(tuple(_parameter_from_json(parameter) for parameter in document["space"])),
        document["default"],
        document["checkpoints"],
        document["folds"],
        document["code"],
        tuple(document["gradients"]),
        document["parent"],
    )


def _parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    match parameter.domain:
        case Choice(options, grid):
            domain: dict[str, Any] = {"options": list(options), "grid": grid}
        case Float(low, high, log, step) | Integer(low, high, log, step):
            domain = {"low": low, "high": high, "log": log, "step": step}
    return {
        "name": parameter.name,
        "kind": parameter.domain.kind,
        **domain,
        "when": [{"parameter": c.parameter, "values": list(c.values)} for c in parameter.when],
    }


def _parameter_from_json(document: dict[str, Any]) -> Parameter:
    return Parameter(
        document["name"],
        _domain_from_json(document),
        tuple(Condition(c["parameter"], tuple(c["values"])) for c in document["when"]),
    )


def _domain_from_json(document: dict[str, Any]) -> Domain:
    match document["kind"]:
        case "choice":
            return Choice(tuple(document["options"]), document["grid"])
        case "integer":
            return Integer(document["low"], document["high"], document["log"], document["step"])
        case "float":
            return Float(document["low"], document["high"], document["log"], document["step"])
        case kind:
            raise ValueError(f"a domain of kind {kind!r} is unknown; use choice, integer or float")
