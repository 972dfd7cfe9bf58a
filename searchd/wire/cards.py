"""Cards of trainables between wire and domain."""

from searchd.domain.card import Card, Form
from searchd.domain.errors import InvalidStudy, Violation
from searchd.domain.objective import Objective
from searchd.v1 import trainable_service_pb2
from searchd.wire.spaces import decode_space, encode_space
from searchd.wire.studies import decode_objective, encode_objective
from searchd.wire.values import decode_enum, decode_parameters, encode_enum, encode_parameters


def encode_card(card: Card) -> trainable_service_pb2.Trainable:
    """The card of a trainable; the order of its metrics is kept."""
    return trainable_service_pb2.Trainable(
        name=card.name,
        description=card.description,
        form=encode_enum(trainable_service_pb2.TrainableForm.DESCRIPTOR, card.form),
        metrics=[encode_objective(Objective(metric, goal)) for metric, goal in card.metrics.items()],
        search_space=encode_space(card.space),
        default_parameters=encode_parameters(card.default or {}),
        checkpoints=card.checkpoints,
        folds=card.folds,
        code_fingerprint=card.code,
        gradients=card.gradients,
        parent=card.parent,
    )


def decode_card(message: trainable_service_pb2.Trainable) -> Card:
    """The card of a trainable; without default parameters it declares none.

    Raises:
        InvalidStudy: its space holds what this version does not know.
        ValueError: its form or a metric's direction is unknown.
    """
    found: list[Violation] = []
    space = decode_space(message.search_space, found)
    if found:
        raise InvalidStudy(found)
    return Card(
        name=message.name,
        description=message.description,
        form=decode_enum(trainable_service_pb2.TrainableForm.DESCRIPTOR, message.form, Form),
        metrics={objective.metric: objective.goal for objective in map(decode_objective, message.metrics)},
        space=space,
        default=decode_parameters(message.default_parameters) or None,
        checkpoints=message.checkpoints,
        folds=message.folds,
        code=message.code_fingerprint,
        gradients=tuple(message.gradients),
        parent=message.parent,
    )
