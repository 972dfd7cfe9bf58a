"""Search spaces between wire and domain."""

from collections.abc import Sequence

from searchd.domain.errors import Violation
from searchd.domain.space import Choice, Condition, Domain, Float, Integer, Parameter, SearchSpace, ordered
from searchd.v1 import study_pb2
from searchd.wire.values import decode_value, encode_value

DOMAINS = tuple(field.name for field in study_pb2.Parameter.DESCRIPTOR.oneofs_by_name["domain"].fields)
"""The domains that a parameter may have, by their shorthand names."""


def encode_space(space: SearchSpace) -> study_pb2.SearchSpace:
    """The space as a message, parameters in the order in which they are drawn."""
    return study_pb2.SearchSpace(parameters=[_encode_parameter(parameter) for parameter in space.parameters])


def decode_space(message: study_pb2.SearchSpace, found: list[Violation]) -> SearchSpace:
    """The space of a message, each parameter after those that its conditions name.

    A parameter that cannot be represented is left out, with the conditions that name it, and put into ``found``.
    """
    readable: list[tuple[study_pb2.Parameter, Domain]] = []
    dropped: set[str] = set()
    for parameter in message.parameters:
        problem = _problem(parameter)
        if problem is None:
            readable.append((parameter, _decode_domain(parameter)))
        else:
            found.append(problem)
            dropped.add(parameter.name)
    return ordered([Parameter(p.name, domain, _conditions(p.when, dropped)) for p, domain in readable])


def _conditions(conditions: Sequence[study_pb2.Condition], dropped: set[str]) -> tuple[Condition, ...]:
    return tuple(
        Condition(condition.parameter, tuple(map(decode_value, condition.values)))
        for condition in conditions
        if condition.parameter not in dropped
    )


def _problem(parameter: study_pb2.Parameter) -> Violation | None:
    path = f"search_space.{parameter.name}" if parameter.name else "search_space"
    kind = parameter.WhichOneof("domain")
    if kind is None:
        return Violation(path, "has no domain", f"give one of {', '.join(DOMAINS)}")
    if kind.startswith("q") and not getattr(parameter, kind).HasField("step"):
        return Violation(f"{path}.{kind}", "has no step", f"give one, or use {kind.removeprefix('q')}")
    return None


def _decode_domain(parameter: study_pb2.Parameter) -> Domain:
    kind = parameter.WhichOneof("domain") or ""
    value = getattr(parameter, kind)
    if isinstance(value, study_pb2.ChoiceDomain):
        return Choice(tuple(map(decode_value, value.values)), grid=kind == "grid")
    log = "log" in kind
    if isinstance(value, study_pb2.FloatDomain):
        return Float(value.low, value.high, log, value.step if value.HasField("step") else None)
    return Integer(value.low, value.high, log, value.step if value.HasField("step") else 1)


def _encode_parameter(parameter: Parameter) -> study_pb2.Parameter:
    message = study_pb2.Parameter(name=parameter.name)
    domain = parameter.domain
    match domain:
        case Choice():
            target = message.grid if domain.grid else message.choice
            target.SetInParent()
            target.values.extend(map(encode_value, domain.options))
        case Float():
            _encode_float(message, domain)
        case Integer():
            _encode_integer(message, domain)
    for condition in parameter.when:
        message.when.add(parameter=condition.parameter, values=map(encode_value, condition.values))
    return message


def _encode_float(message: study_pb2.Parameter, domain: Float) -> None:
    bounds = study_pb2.FloatDomain(low=domain.low, high=domain.high, step=domain.step)
    if domain.step is not None:
        (message.qloguniform if domain.log else message.quniform).CopyFrom(bounds)
    else:
        (message.loguniform if domain.log else message.uniform).CopyFrom(bounds)


def _encode_integer(message: study_pb2.Parameter, domain: Integer) -> None:
    step = domain.step if domain.step != 1 else None
    bounds = study_pb2.IntegerDomain(low=domain.low, high=domain.high, step=step)
    if domain.log:  # steps on a log scale have no name of their own
        message.lograndint.CopyFrom(bounds)
    else:
        (message.qrandint if step is not None else message.randint).CopyFrom(bounds)
