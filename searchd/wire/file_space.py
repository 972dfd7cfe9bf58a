"""The search space of a study file: Ray Tune's names as shorthand."""

from collections.abc import Mapping
from typing import Any

from searchd.domain.errors import Violation
from searchd.v1 import study_pb2
from searchd.wire.file_fields import Found, fill, read_entries, read_list
from searchd.wire.file_values import Misread, described, misread, nearest, read_parameter_value, read_scalar, read_text
from searchd.wire.spaces import DOMAINS

# A log scale in steps is a lograndint with a step on the wire.
WRITTEN = {**{name: name for name in DOMAINS}, "qlograndint": "lograndint"}

LATER_DOMAINS = ("randn", "qrandn", "sample_from")
OTHER_NAMES = {"grid_search": "grid", "categorical": "choice", "int": "randint", "float": "uniform"}


def read_space(study: study_pb2.Study, written: Any, path: str, found: Found) -> None:
    """Put a mapping from parameters to domains into the study's search space.

    A parameter whose domain cannot be read is left out, with the conditions that name it.

    Raises:
        Misread: it is no mapping.
    """
    entries = read_entries(written, path, f"write it as {path}: {{lr: {{loguniform: [1e-4, 1e-1]}}}}")
    space = study_pb2.SearchSpace()
    dropped = set()
    for name, domain in entries.items():
        try:
            space.parameters.append(_read_parameter(name, domain, f"{path}.{name}", found))
        except Misread as error:
            found.append(error.violation)
            dropped.add(name)
    for parameter in space.parameters:
        kept = [condition for condition in parameter.when if condition.parameter not in dropped]
        del parameter.when[:]
        parameter.when.extend(kept)
    study.search_space.CopyFrom(space)


def _read_parameter(name: Any, written: Any, path: str, found: Found) -> study_pb2.Parameter:
    parameter = study_pb2.Parameter(name=read_text(name, path))
    if not isinstance(written, Mapping):
        remedy = "write it as {uniform: [0, 1]} or {choice: [a, b]}, or put it under fixed"
        raise misread(path, f"is {described(written)}, not a domain", remedy)
    for key in written:
        if key not in WRITTEN and key != "when":
            found.append(_unknown_domain(str(key), f"{path}.{key}"))
    if written.get("when") is not None:
        _read_conditions(parameter, written["when"], f"{path}.when", found)
    kinds = [key for key in written if key in WRITTEN]
    if len(kinds) == 1:
        _read_domain(parameter, kinds[0], written[kinds[0]], f"{path}.{kinds[0]}", found)
        return parameter
    if kinds:
        raise misread(path, f"has {len(kinds)} domains: {', '.join(kinds)}", "keep one")
    if set(written) <= {"when"}:
        raise misread(path, "has no domain", f"give one of {', '.join(WRITTEN)}")
    raise Misread(found.pop())  # the unknown key stands for the domain


def _unknown_domain(key: str, path: str) -> Violation:
    if key in LATER_DOMAINS:
        return Violation(path, "is not supported by this version", f"use one of {', '.join(WRITTEN)}")
    remedy = f"it is written {OTHER_NAMES[key]}" if key in OTHER_NAMES else nearest(key, [*WRITTEN, "when"])
    return Violation(path, "is not a known domain", remedy)


def _read_domain(parameter: study_pb2.Parameter, kind: str, written: Any, path: str, found: Found) -> None:
    domain = getattr(parameter, WRITTEN[kind])
    if isinstance(written, Mapping):
        before = len(found)
        fill(domain, written, path, found, {})
        if len(found) > before:
            raise Misread(found.pop())
        return
    values = read_list(written, path)
    domain.SetInParent()
    if isinstance(domain, study_pb2.ChoiceDomain):
        domain.values.extend(read_parameter_value(value, f"{path}[{i}]") for i, value in enumerate(values))
        return
    names = ("low", "high", "step") if kind.startswith("q") else ("low", "high")
    if len(values) != len(names):
        raise misread(
            path, f"holds {len(values)}, not {len(names)} numbers", f"write it as {kind}: [{', '.join(names)}]"
        )
    for name, value in zip(names, values, strict=True):
        setattr(domain, name, read_scalar(domain.DESCRIPTOR.fields_by_name[name], value, path))


def _read_conditions(parameter: study_pb2.Parameter, written: Any, path: str, found: Found) -> None:
    if not isinstance(written, Mapping):
        message = f"is {described(written)}, not a mapping"
        found.append(Violation(path, message, "write it as when: {other_parameter: [value, value]}"))
        return
    for name, values in written.items():
        here = f"{path}.{name}"
        try:
            listed = values if isinstance(values, list) else [values]
            condition = study_pb2.Condition(parameter=read_text(name, here))
            condition.values.extend(read_parameter_value(value, here) for value in listed)
            parameter.when.append(condition)
        except Misread as error:
            found.append(error.violation)
