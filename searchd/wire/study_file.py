"""The study file: YAML 1.2 in, a study message and everything that is wrong with the file out."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter

from searchd.domain.errors import Violation
from searchd.v1 import study_pb2
from searchd.wire.file_fields import Found, Reader, fill, read_list
from searchd.wire.file_space import read_space
from searchd.wire.file_values import Misread, as_written, described, misread, read_scalar, read_text
from searchd.wire.study_mapping import study_to_mapping
from searchd.wire.values import printable

MAX_NODES = 100_000


@dataclass(frozen=True, slots=True)
class StudyFile:
    """What a study file says.

    Attributes:
        study_id: The id it asks for; empty means that the server makes one.
        study: All of the definition that could be read.
        violations: What could not be read, each with its path in the file. The server may find more in the rest.
    """

    study_id: str
    study: study_pb2.Study
    violations: tuple[Violation, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing of what there is could be read, so that nothing is left to check."""
        return bool(self.violations) and not self.study.ListFields()


def read_study(text: str) -> StudyFile:
    """Read a study file. Never raises: whatever is wrong is in the violations, all of it at once."""
    found: Found = []
    mapping = _load(text, found)
    if mapping is None:
        return StudyFile("", study_pb2.Study(), _shown(found))
    file = study_from_mapping(mapping)
    return StudyFile(file.study_id, file.study, (*_shown(found), *file.violations))


def study_from_mapping(mapping: Mapping[str, Any]) -> StudyFile:
    """Read what a study file would hold, already parsed: strings, numbers, booleans, None, sequences and mappings."""
    found: Found = []
    mapping = {key: as_written(value) for key, value in mapping.items()}
    study_id = ""
    try:
        if mapping.get("study_id") is not None:
            study_id = read_text(mapping["study_id"], "study_id")
    except Misread as error:
        found.append(error.violation)
    study = study_pb2.Study()
    fill(study, {key: value for key, value in mapping.items() if key != "study_id"}, "", found, _SHORTHAND)
    # What must fit something that is missing cannot be checked.
    if any(violation.path.startswith("evaluation.") for violation in found):
        study.evaluation.ClearField("ladder")
    if any(violation.path == "retry.segment_timeout" for violation in found):
        study.retry.ClearField("report_timeout")
    return StudyFile(study_id, study, _shown(found))


def write_study(study: study_pb2.Study) -> str:
    """The study as the text of a study file, from which it can be read back."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    stream = io.StringIO()
    yaml.dump(study_to_mapping(study), stream)
    return stream.getvalue()


class _Representer(SafeRepresenter):
    """Puts all but plain words into double quotes: as a key, or with a line separator, other text may read as more."""

    def represent_str(self, data: str) -> Any:
        style = None if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", data) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Representer.add_representer(str, _Representer.represent_str)


def _shown(found: Iterable[Violation]) -> tuple[Violation, ...]:
    """The violations as they can be shown: names and values in them may hold control characters."""
    return tuple(Violation(printable(v.path), printable(v.message), printable(v.remedy)) for v in found)


def _load(text: str, found: Found) -> Mapping[str, Any] | None:
    """The file's mapping, or None if there is none; repeated keys and syntax errors are added to ``found``."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    yaml.allow_duplicate_keys = True  # found below, all of them instead of the first
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root = yaml.compose(text)
            found.extend(_repeated_keys(root, "", set(), [0]))
            mapping = yaml.load(text)
    except Misread as error:
        found.append(error.violation)
    except RecursionError:
        found.append(Violation("file", "is nested too deeply", "use fewer levels"))
    except (YAMLError, ValueError) as error:
        found.append(_syntax(error))
    else:
        if isinstance(mapping, Mapping):
            return mapping
        remedy = "write keys and values, such as trainable: torch_cnn"
        found.append(Violation("file", f"is {described(mapping)}, not a mapping", remedy))
    return None


def _repeated_keys(node: Node | None, path: str, above: set[int], count: list[int]) -> Iterator[Violation]:
    """Keys given twice, at any depth; refuses what refers to itself or grows without end."""
    count[0] += 1
    if count[0] > MAX_NODES:
        raise misread("file", f"has more than {MAX_NODES} values", "write fewer")
    if id(node) in above:
        raise misread(path or "file", "refers to itself", "write the values out")
    if isinstance(node, MappingNode):
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, ScalarNode) else "?"
            here = f"{path}.{name}" if path else str(name)
            if name in seen:
                yield Violation(here, "is given twice", f"keep one (the second is on line {key.start_mark.line + 1})")
            seen.add(name)
            yield from _repeated_keys(value, here, above | {id(node)}, count)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(item, f"{path}[{index}]", above | {id(node)}, count)


def _syntax(error: Exception) -> Violation:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        return Violation(f"line {mark.line + 1}", f"column {mark.column + 1}: {problem}", "correct the YAML there")
    return Violation("file", f"is not YAML: {str(error).splitlines()[0]}", "correct it")


def _read_objectives(study: study_pb2.Study, written: Any, path: str, found: Found) -> None:
    if isinstance(written, Mapping):
        fill(study.objectives.add(), written, f"{path}[0]", found, {})  # as the server will call it
        return
    for index, item in enumerate(read_list(written, path)):
        fill(study.objectives.add(), item, f"{path}[{index}]", found, {})


def _read_ladder(evaluation: study_pb2.Evaluation, written: Any, path: str, found: Found) -> None:
    for index, item in enumerate(read_list(written, path)):
        here = f"{path}[{index}]"
        if isinstance(item, list):
            try:
                evaluation.ladder.append(_read_rung(item, here))
            except Misread as error:
                found.append(error.violation)
        else:
            fill(evaluation.ladder.add(), item, here, found, {})


def _read_rung(pair: list[Any], path: str) -> study_pb2.Rung:
    if len(pair) != 2:
        raise misread(path, f"holds {len(pair)}, not 2 numbers", "write it as [folds, epochs]")
    fields = study_pb2.Rung.DESCRIPTOR.fields_by_name
    folds = read_scalar(fields["folds"], pair[0], path)
    return study_pb2.Rung(folds=folds, epochs=read_scalar(fields["epochs"], pair[1], path))


def _read_constraints(study: study_pb2.Study, written: Any, path: str, found: Found) -> None:
    for index, item in enumerate(read_list(written, path)):
        here = f"{path}[{index}]"
        constraint = study.constraints.add()
        if isinstance(item, str):
            constraint.expression = read_text(item, here)
        else:
            fill(constraint, item, here, found, {})


def _read_algorithm(message: Any, written: Any, path: str, found: Found) -> None:  # noqa: ARG001  # a Reader
    """An algorithm by its name, or one of Ray Tune's as ray:NAME."""
    kind, _, name = written.partition(":") if isinstance(written, str) else ("", "", "")
    if kind == "ray" and not name:
        raise misread(path, "does not say which of Ray Tune's", "write ray:NAME, such as ray:hyperopt")
    algorithm = message.DESCRIPTOR.fields_by_name["algorithm"]
    message.algorithm = read_scalar(algorithm, kind if kind == "ray" else written, path)
    if kind == "ray" and isinstance(message, study_pb2.Search):
        message.ray_searcher = name
    elif kind == "ray":
        message.ray_scheduler = name


def _read_parent(study: study_pb2.Study, written: Any, path: str, found: Found) -> None:
    if isinstance(written, str):
        study.parent.study = read_text(written, path)
        return
    fill(study.parent, written, path, found, {"searchd.v1.Parent.trial": _read_parent_trial})


def _read_parent_trial(parent: study_pb2.Parent, written: Any, path: str, found: Found) -> None:  # noqa: ARG001  # a Reader
    if written != "best":
        parent.trial = read_scalar(parent.DESCRIPTOR.fields_by_name["trial"], written, path)


_SHORTHAND: Mapping[str, Reader] = {
    "searchd.v1.Study.constraints": _read_constraints,
    "searchd.v1.Study.parent": _read_parent,
    "searchd.v1.Search.algorithm": _read_algorithm,
    "searchd.v1.Scheduler.algorithm": _read_algorithm,
    "searchd.v1.Study.search_space": read_space,
    "searchd.v1.Study.objectives": _read_objectives,
    "searchd.v1.Evaluation.ladder": _read_ladder,
}
