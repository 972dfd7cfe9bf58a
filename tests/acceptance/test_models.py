"""The best model of a study as a file, and trials that are trained again, against a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from skops.io import load
from typer.testing import CliRunner, Result

from searchd.cli.main import app
from searchd.client import Client, StudyHandle
from searchd.client.model_export import Exported
from searchd.datasets import DataChanged, DatasetCache
from searchd.domain.errors import InvalidArgument, NoCompleteTrial, TrialNotFound
from searchd.domain.study import Dataset
from searchd.worker.retraining import NoModel
from tests.acceptance.server import DATA, Server, searchd


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"SEARCHD_ADDRESS": server.address, "COLUMNS": "80"})


def ended(client: Client, study_id: str, **fields: Any) -> StudyHandle:
    """A study of that definition, once it has ended."""
    study = client.create_study(
        study_id=study_id, search={"algorithm": "random"}, scheduler={"algorithm": "none"}, **fields
    )
    study.wait(progress=False)
    return study


@pytest.fixture(scope="module")
def client(shared_server: Server) -> Iterator[Client]:
    with shared_server.client() as made:
        yield made


@pytest.fixture(scope="module")
def wines(client: Client) -> StudyHandle:
    return ended(
        client,
        "exported-wines",
        trainable="sklearn_classifier",
        dataset={"builtin": "wine"},
        search_space={"classifier": {"choice": ["tree", "naive_bayes"]}},
        evaluation={"folds": 3},
        budget={"trials": 3},
    )


@pytest.fixture(scope="module")
def digits(client: Client) -> StudyHandle:
    return ended(
        client,
        "exported-digits",
        trainable="torch_cnn",
        dataset={"builtin": "digits", "test": 0.2},
        search_space={"channels": {"choice": [2, 4]}},
        fixed={"layers": 1},
        evaluation={"folds": 2, "epochs": 2, "confirm": {"top": 1, "repeats": 1, "share": 1.0}},
        budget={"trials": 1},
    )


def test_a_pipeline_on_the_command_line(shared_server: Server, wines: StudyHandle, tmp_path: Path) -> None:
    """The best pipeline is trained on all rows and written with a card; what is read back predicts the data's rows,
    and the card has the scores, fingerprints, versions, features and classes."""
    folder = tmp_path / "best"
    done = searchd("export", "exported-wines", str(folder), "--model", "--refit", address=shared_server.address)
    assert done.returncode == 0, done.stderr
    best = wines.best()
    assert f"trial {best.best.trial.number}, trained on 178 rows: all rows that folds use\n" in done.stdout
    card = json.loads((folder / "card.json").read_text())
    assert card["parameters"] == dict(best.params)
    assert card["scores"]["selected"]["mean"] == best.best.mean
    assert card["data"]["fingerprint"] == best.study.data
    assert card["code"] == {"study": best.study.code, "here": best.study.code}
    assert card["output"] == {"kind": "probabilities", "classes": ["class_0", "class_1", "class_2"]}
    assert {"python", "searchd", "scikit-learn", "skops"} <= card["versions"].keys()
    data = DatasetCache(tmp_path / "cache", ()).load(Dataset(builtin="wine"))
    assert card["input"]["features"] == list(data.feature_names)
    model = load(folder / "model.skops", trusted=card["files"][0]["trusted_types"])
    assert float(np.mean(model.predict(data.table) == data.y)) > 0.9
    readme = (folder / "README.md").read_text()
    assert "no rows were held back" in readme
    assert "model.predict_proba(rows)" in readme


def test_a_network_in_every_format(digits: StudyHandle, tmp_path: Path) -> None:
    """A network is trained on the rows that are not set aside, and its files say the same of those that are; its score
    on them, and those that the study measured, are in the card."""
    found = digits.export_model(tmp_path / "net", formats=["torch", "onnx", "safetensors"])
    assert set(found.files) == {"model.pt2", "model.onnx", "model.safetensors", "README.md", "card.json"}
    card = found.card
    assert card["trained"]["validated_rows"] == 360
    assert card["warnings"] == []
    assert {"selected", "confirmed", "test", "default"} <= card["scores"].keys()
    dataset = Dataset(builtin="digits", test=0.2)
    datasets = DatasetCache(tmp_path / "cache", ())
    evaluation = _evaluation(digits)
    _, aside = datasets.split(dataset, evaluation, 0, -1)
    data = datasets.load(dataset)
    session = onnxruntime.InferenceSession(tmp_path / "net" / "model.onnx")
    said = session.run(None, {"rows": data.images[aside].astype(np.float64)})[0].argmax(1)
    assert float(np.mean(said == data.y[aside])) == pytest.approx(card["trained"]["metrics"]["accuracy"])


def _evaluation(study: StudyHandle) -> Any:
    from searchd.wire.codec import decode_study

    return decode_study(study.get().message).spec.evaluation


def test_a_fold_and_another_trial(wines: StudyHandle, tmp_path: Path) -> None:
    """The model of a given fold run of a given trial scores on the fold what the study has measured."""
    found = wines.export_model(tmp_path / "fold", trial=2, fold=1)
    [measured] = [m for m in wines.measurements(2) if m.fold == 1]
    assert found.card["trained"]["metrics"]["accuracy"] == measured.metrics["accuracy"]
    assert found.card["trained"]["on"] == "repeat 0, fold 1"
    assert found.card["again"]["export"].endswith("--model --trial 2 --fold 1 --format skops")


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--trial", "1"], 2, "--trial is for models; add --model"),
        (["--model", "--to", "csv"], 2, "--to is for studies"),
        (["--model", "--refit", "--fold", "0"], 2, "--refit is on all rows"),
        (["--model", "--trial", "99"], 3, "has no trial 99"),
        (["--model", "--fold", "3"], 2, "--fold: exported-wines has no fold run 3; use 0 to 2"),
        (["--model", "--format", "onnx"], 4, "the model is a scikit-learn estimator; use --format skops"),
        (["--model", "--format", "pickle"], 2, "pickle"),
    ],
)
def test_refused(
    shared_server: Server, wines: StudyHandle, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    """What cannot be is refused with the reason, and nothing is written."""
    result = run(shared_server, "export", "exported-wines", str(tmp_path / "none"), *options)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_not_empty(wines: StudyHandle, tmp_path: Path) -> None:
    """Files are only replaced if that is asked for, and only those of a model."""
    (tmp_path / "model.onnx").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InvalidArgument, match="is not an empty folder"):
        wines.export_model(tmp_path)
    found: Exported = wines.export_model(tmp_path, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*found.files, "mine.txt"])


def test_models_that_there_are_not(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainable that hands none over, and a study without a complete trial, are told apart."""
    monkeypatch.syspath_prepend(str(DATA))
    study = ended(client, "exported-nothing", trainable="quadratic", budget={"trials": 1})
    with pytest.raises(NoModel, match="quadratic hands over no model"):
        study.export_model(tmp_path / "a", trainables=["trainables_for_tests"])
    broken = ended(client, "exported-broken", trainable="raises", budget={"trials": 1})
    with pytest.raises(NoCompleteTrial):
        broken.export_model(tmp_path / "b", trainables=["trainables_for_tests"])


def test_reproduce_bit_for_bit(shared_server: Server, wines: StudyHandle, digits: StudyHandle) -> None:
    """Trials of both kinds score the same again, and so does the confirmation of one; the exit code is 0."""
    done = searchd("reproduce", "exported-wines/1", "-o", "table", address=shared_server.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("same, bit for bit: accuracy")
    result = run(shared_server, "reproduce", "exported-digits/1", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (0, "same")
    followed_up = [trial.number for trial in digits.trials() if trial.origin.repeats]
    assert len(followed_up) == 2
    assert {digits.reproduce(number).verdict.value for number in followed_up} == {"same"}


def test_reproduce_with_other_data_and_code(
    shared_server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has changed makes other scores, which is said with what explains it and exit code 1; its model is
    not exported."""
    frame = pd.DataFrame({"x": np.arange(60.0), "z": [0.0, 1.0] * 30, "y": ["a", "b", "b"] * 20})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    dataset = {"uri": str(tmp_path / "rows.csv"), "target": "y"}
    study = ended(
        client,
        "exported-changing",
        trainable="sklearn_classifier",
        dataset=dataset,
        search_space={"classifier": {"choice": ["tree", "knn"]}},
        evaluation={"folds": 3},
        budget={"trials": 1},
    )
    frame.assign(y=["a"] * 30 + ["b"] * 30).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataChanged, match="has changed"):
        study.export_model(tmp_path / "model", data_roots=[tmp_path])
    monkeypatch.setattr("searchd.client.again.fingerprint", lambda files: "0123456789ab")
    result = run(shared_server, "reproduce", "exported-changing/1", "--data-root", str(tmp_path), "-o", "table")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[3].startswith("different: accuracy")
    assert lines[4].startswith("# the trainable's code is 0123456789ab here")
    assert lines[5].startswith("# the data is ")
    assert "trial 1 did not come out the same" in result.stderr


def test_a_study_that_builds_on_another(shared_server: Server, client: Client, wines: StudyHandle) -> None:
    """Its trials are trained again with what the parent's fold runs left on the server's storage, which must be
    given."""
    study = ended(
        client,
        "exported-together",
        trainable="ensemble",
        parent={"study": "exported-wines"},
        search_space={"method": {"choice": ["voting", "averaging"]}},
        budget={"trials": 2},
    )
    with pytest.raises(InvalidArgument, match="--storage: is not given"):
        study.reproduce(2)
    with pytest.raises(InvalidArgument, match="has no files of projects/default/studies/exported-wines"):
        study.reproduce(2, storage=shared_server.data_dir / "datasets")
    assert study.reproduce(2, storage=shared_server.data_dir / "storage").verdict.value == "same"
    with pytest.raises(TrialNotFound):
        study.reproduce(77)
