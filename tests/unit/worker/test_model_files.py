"""Models as files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn

from searchd.domain.errors import InvalidArgument
from searchd.worker import model_formats
from searchd.worker.model_files import NotExported, check_installed, outputs, usual_format, write_model
from searchd.worker.model_formats import ModelFormat, formats_of

ROWS = np.arange(24.0, dtype=np.float32).reshape(8, 3)
NETWORKS = [ModelFormat.TORCH, ModelFormat.ONNX, ModelFormat.SAFETENSORS]


class Shaky(nn.Module):
    """Says something else each time."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows + torch.rand(1)


class Two(nn.Module):
    """Gives two tensors."""

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows, rows


class Branching(nn.Module):
    """Does what no graph can say."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows * 2 if float(rows.sum()) > 0 else rows


def fitted() -> LinearRegression:
    return LinearRegression().fit(ROWS, ROWS.sum(axis=1))


def refused(model: Any, form: ModelFormat, folder: Path) -> NotExported:
    """Why a model is refused, and that it left nothing."""
    with pytest.raises(NotExported) as raised:
        write_model(model, form, ROWS, folder)
    assert list(folder.iterdir()) == []
    return raised.value


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]], ids=["eight", "one"])
@pytest.mark.parametrize("form", NETWORKS)
def test_a_file_takes_any_number_of_rows(tmp_path: Path, form: ModelFormat, rows: Any) -> None:
    """A network that was written with few rows, even one, is read back and used on another number of them."""
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    file = write_model(net, form, rows, tmp_path)
    assert file.difference < 1e-5
    expected = outputs(net, ROWS)
    path = str(tmp_path / file.name)
    if form is ModelFormat.TORCH:
        found = torch.export.load(path).module()(torch.from_numpy(ROWS)).detach().numpy()
    elif form is ModelFormat.ONNX:
        import onnxruntime

        found = onnxruntime.InferenceSession(path).run(None, {"rows": ROWS})[0]
    else:
        from safetensors.torch import load_model

        other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval()
        load_model(other, path)
        found = outputs(other, ROWS)
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_estimator_comes_back(tmp_path: Path) -> None:
    """An estimator read by skops, with the types that were told, predicts the same."""
    from skops.io import load

    file = write_model(fitted(), ModelFormat.SKOPS, ROWS, tmp_path)
    read = load(tmp_path / file.name, trusted=list(file.trusted))
    assert read.predict(ROWS) == pytest.approx(ROWS.sum(axis=1), rel=1e-5)


def test_the_usual_format_holds_the_whole_model() -> None:
    """An estimator is written for skops and a network by torch.export; anything else is neither."""
    assert usual_format(fitted()) is ModelFormat.SKOPS
    assert usual_format(nn.Linear(1, 1)) is ModelFormat.TORCH
    with pytest.raises(NotExported, match=r"dict is neither a scikit-learn estimator nor a torch\.nn\.Module; have"):
        usual_format({})


def test_formats_that_do_not_fit(tmp_path: Path) -> None:
    """An estimator is refused by the formats of networks, a network by skops, each with what would fit."""
    assert str(refused(fitted(), ModelFormat.ONNX, tmp_path)) == (
        "no onnx file was written: the model is a scikit-learn estimator; use --format skops"
    )
    assert "use --format torch, onnx or safetensors" in str(refused(nn.Linear(3, 1), ModelFormat.SKOPS, tmp_path))


@pytest.mark.parametrize("form", NETWORKS)
def test_outputs_that_differ(tmp_path: Path, form: ModelFormat) -> None:
    """A file that gives other outputs than the model is not left."""
    assert "differ from the model's by up to" in refused(Shaky(), form, tmp_path).reason


@pytest.mark.parametrize("form", NETWORKS)
def test_more_than_one_output(tmp_path: Path, form: ModelFormat) -> None:
    """A network that gives no single tensor is refused."""
    assert "gives a tuple, not a tensor" in refused(Two(), form, tmp_path).reason


@pytest.mark.parametrize("form", [ModelFormat.TORCH, ModelFormat.ONNX])
def test_what_has_no_graph(tmp_path: Path, form: ModelFormat) -> None:
    """A network that cannot be exported as a graph is refused in one line; its weights can be had."""
    reason = refused(Branching(), form, tmp_path).reason
    assert "\n" not in reason
    assert write_model(nn.Sequential(Branching(), nn.Linear(3, 1)), ModelFormat.SAFETENSORS, ROWS, tmp_path).name


def test_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what installs it."""
    monkeypatch.setitem(model_formats.PACKAGES, ModelFormat.ONNX, ("onnx", "no_such_runtime"))
    with pytest.raises(NotExported) as raised:
        check_installed(ModelFormat.ONNX)
    assert str(raised.value) == (
        'no onnx file was written: no_such_runtime is not installed; pip install "searchd[export]"'
    )
    check_installed(ModelFormat.TORCH)


def test_names_of_formats() -> None:
    """Formats are given by name; an unknown one names those there are."""
    assert formats_of(["onnx", "skops"]) == (ModelFormat.ONNX, ModelFormat.SKOPS)
    with pytest.raises(InvalidArgument, match="'pickle' is none; use skops, safetensors, torch, onnx"):
        formats_of(["pickle"])
