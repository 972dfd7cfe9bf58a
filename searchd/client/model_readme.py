"""The card of a model file for people: Markdown."""

from collections.abc import Mapping
from typing import Any

from searchd.worker.model_formats import ModelFormat

_READING: Mapping[ModelFormat, str] = {
    ModelFormat.SKOPS: """\
from skops.io import load

model = load("model.skops", trusted={trusted})
model.{method}(rows)
""",
    ModelFormat.SAFETENSORS: """\
from safetensors.torch import load_model

load_model(model, "model.safetensors")  # the weights alone: `model` is a module as printed below
model.eval()
""",
    ModelFormat.TORCH: """\
import torch

model = torch.export.load("model.pt2").module()
model(torch.as_tensor(rows))
""",
    ModelFormat.ONNX: """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
session.run(None, {{"rows": rows}})[0]
""",
}


def readme_of(card: Mapping[str, Any]) -> str:
    """The card for people: Markdown."""
    parts = [f"# Trial {card['trial']} of {card['study'].rpartition('/')[2]}", _what(card)]
    parts += ["\n".join(f"- {warning}" for warning in card["warnings"])] if card["warnings"] else []
    parts += ["## How good it is", _score_table(card), "## How to use it", _feeding(card)]
    for file in card["files"]:
        method = "predict_proba" if card["output"]["kind"] == "probabilities" else "predict"
        code = _READING[ModelFormat(file["format"])].format(trusted=file["trusted_types"], method=method)
        parts.append(f"```python\n{code}```")
    parts += [_checks(card), "## What it is", f"```text\n{card['model']['architecture']}\n```"]
    parts += ["## How it was made", _made_table(card), f"```shell\n{card['again']['export']}\n```"]
    return "\n\n".join(parts) + "\n"


def _what(card: Mapping[str, Any]) -> str:
    trained = card["trained"]
    rows = f"{trained['rows']} rows: " if trained["rows"] else ""
    epochs = f", for {trained['epochs']} epochs" if trained["of_epochs"] > 1 else ""
    return f"A model of `{card['trainable']}`, trained on {rows}{trained['on']}{epochs}."


def _score_table(card: Mapping[str, Any]) -> str:
    scores, trained = card["scores"], card["trained"]
    meanings = {
        "selected": "by which its configuration was chosen, so it promises too much",
        "confirmed": "on fresh splits, with fresh seeds",
        "test": "of a model of this configuration on the rows set aside",
        "default": "of the default configuration",
    }
    lines = [f"| {scores['metric']} ({scores['goal']}) | | |", "|---|---|---|"]
    for name, meaning in meanings.items():
        if name in scores:
            lines.append(f"| {name} | {_figure(scores[name])} | {meaning} |")
    if scores["metric"] in trained["metrics"]:
        found = _figure(trained["metrics"][scores["metric"]])
        lines.append(f"| this model | {found} | on {trained['validated_rows']} rows that it has not seen |")
    return "\n".join(lines)


def _figure(score: Any) -> str:
    if not isinstance(score, Mapping):
        return "none" if score is None else f"{score:.4g}"
    error = score.get("standard_error")
    return _figure(score["mean"]) + (f" ± {error:.2g}" if error is not None else "")


def _feeding(card: Mapping[str, Any]) -> str:
    given, told = card["input"], card["output"]
    shape = ", ".join(["n", *map(str, given["shape"][1:])]) + ("," if len(given["shape"]) == 1 else "")
    lines = [f"`rows` has shape ({shape}) and type {given['type']}."]
    if given["features"]:
        lines[0] += f" Its columns are {', '.join(f'`{name}`' for name in given['features'])}."
        if any("=" in name for name in given["features"]):
            lines.append("A column `a=b` is 1 where the column `a` of the data has the value b, else 0.")
    if given["codes"]:
        lines.append(f"{_listed(given['codes'])} hold positions in the lists under `input.codes` in `card.json`.")
    kinds = {
        "numbers": "It gives a number for each row.",
        "probabilities": f"It gives probabilities, shape (n, {len(told['classes'])}), of the classes",
        "positions": "It gives for each row the position, from 0, in the classes",
    }
    ending = "" if not told["classes"] else f" {', '.join(map(str, told['classes']))}."
    return " ".join([*lines, kinds[told["kind"]] + ending])


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _checks(card: Mapping[str, Any]) -> str:
    lines = []
    for file in card["files"]:
        apart = file["largest_difference"]
        how = "the same outputs" if apart == 0 else f"outputs that differ by at most {apart:.1g}"
        lines.append(f"Read back, `{file['name']}` gave {how} on {file['checked_rows']} rows of the data.")
    return " ".join(lines)


def _made_table(card: Mapping[str, Any]) -> str:
    data, seed = card["data"], card["seed"]
    rows = [
        ("parameters", ", ".join(f"{name} {value}" for name, value in card["parameters"].items())),
        ("data", f"{data['source']}, {data['rows']} rows, fingerprint {data['fingerprint']}" if data else "none named"),
        ("code", card["code"]["here"]),
        (
            "seeds",
            f"study {seed['study']}, fold run {seed['fold_run']}, splits {seed['split']}",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in card["versions"].items())),
        ("device", card["device"]),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
