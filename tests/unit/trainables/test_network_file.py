"""The file of a network, and what makes it small: 0s that are left out, and weights of 8 bits."""

import gzip
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from trainables.network_file import Description, packed, read
from trainables.torch_architectures import blueprint_of
from trainables.torch_pruning import Masks, share_at
from trainables.torch_quantisation import dequantised, quantised

BLUEPRINT = blueprint_of({"network": "mlp", "parameters": {"width": 32}, "row": [16], "classes": ["a", "b", "c"]})
ROWS = torch.randn(7, 16, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return BLUEPRINT.build().eval()


def written(path: Path, net: nn.Module, quantisation: str = "none") -> nn.Module:
    """The network as it comes back from a file."""
    packed(Description(BLUEPRINT, quantisation), net).write(path)
    return read(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_what_is_written_comes_back(tmp_path: Path, share: float) -> None:
    """With no, few, many and only 0s each number comes back, and nothing is left beside the file."""
    net = network()
    for weight in net.parameters():
        nn.init.zeros_(weight.data.view(-1)[: round(share * weight.numel())])
    again = written(tmp_path / "n", net)
    for name, values in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], values)
    assert torch.equal(again(ROWS), net(ROWS))
    assert [path.name for path in tmp_path.iterdir()] == ["n"]


def test_zeros_take_less_room() -> None:
    """A file whose weights are 0 for nine in ten has less than two fifths of the bytes, and counts the others."""
    whole, net = packed(Description(BLUEPRINT, "none"), network()), network()
    masks = Masks(net, torch.optim.SGD(net.parameters()))
    masks.prune(0.9)
    some = packed(Description(BLUEPRINT, "none"), net)
    matrices = 16 * 32 + 32 * 32 + 32 * 3
    assert whole.parameters - some.parameters == round(0.9 * matrices)
    assert len(some.content) < 0.4 * len(whole.content)


def test_same_network_gives_the_same_bytes() -> None:
    """Nothing in a file depends on when or where it is written."""
    one, same = (packed(Description(BLUEPRINT, "int8"), network()).content for _ in range(2))
    assert one == same


def test_any_reader_of_safetensors_opens_it(tmp_path: Path) -> None:
    """Unpacked it is a safetensors file whose metadata say what the network is."""
    packed(Description(BLUEPRINT, "none"), network()).write(tmp_path / "n.gz")
    (tmp_path / "n").write_bytes(gzip.decompress((tmp_path / "n.gz").read_bytes()))
    with safetensors.safe_open(tmp_path / "n", "pt") as file:
        said = json.loads(file.metadata()["network"])
        assert torch.equal(file.get_tensor("0.weight"), network().state_dict()["0.weight"])
    assert blueprint_of(said["blueprint"]) == BLUEPRINT


def test_integers_are_near_the_weights() -> None:
    """Weights of 8 bits are off by at most half of what 1 stands for in their row, and 0 stays 0."""
    weights = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [1, 1e-3, 1e3, 0]
    ).view(-1, 1, 1, 1)
    weights[:, 1] = 0
    found = quantised("int8", "w", weights)
    off = (dequantised(found) - weights).abs()
    assert found.integers.dtype == torch.int8
    assert (off <= 0.51 * found.scales.view(-1, 1, 1, 1)).all()
    assert not dequantised(found)[:, 1].any()
    assert off[3].max() == 0


@pytest.mark.parametrize("quantisation", ["int8", "int8_dynamic"])
def test_linear_layers_compute_on_integers(tmp_path: Path, quantisation: str) -> None:
    """What is read has linear layers of torchao's integers, which give nearly what the weights gave."""
    net = network()
    again = written(tmp_path / "n", net, quantisation)
    kinds = {type(module.weight).__name__ for module in again.modules() if isinstance(module, nn.Linear)}
    assert kinds == {"Int8Tensor"}
    with torch.no_grad():
        assert not torch.equal(again(ROWS), net(ROWS))
        torch.testing.assert_close(again(ROWS), net(ROWS), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_has_no_integer_is_refused(bad: float) -> None:
    """A weight that is not finite is an error that names the weights."""
    net = network()
    nn.init.constant_(net.get_parameter("4.weight"), bad)
    with pytest.raises(ValueError, match=r"quantisation 'int8' cannot give integers for 4\.weight"):
        packed(Description(BLUEPRINT, "int8"), net)


@pytest.mark.parametrize("content", [b"", b"text", gzip.compress(b"text"), gzip.compress(safetensors.torch.save({}))])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Text, other archives and other safetensors files are an error that names the file."""
    (tmp_path / "n").write_bytes(content)
    with pytest.raises(ValueError, match=r"n is no file of a network: .*; name one that compress has written"):
        read(tmp_path / "n")


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    """A file that is not there is reported as that."""
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "n")


def test_smallest_weights_of_the_network_are_pruned_and_stay_so() -> None:
    """The pruned weights are the smallest of all layers, and those of a later, larger share include them."""
    net = network()
    everything = torch.cat([weight.detach().abs().flatten() for weight in net.parameters() if weight.dim() > 1])
    masks = Masks(net, torch.optim.SGD(net.parameters()))
    kept = []
    for share in (0.5, 0.8):
        masks.prune(share)
        kept.append(torch.cat([mask.flatten() for mask in masks.state_dict().values()]))
    assert everything[~kept[0]].max() <= everything[kept[0]].min()
    assert [int(mask.sum()) for mask in kept] == [round(share * len(everything)) for share in (0.5, 0.2)]
    assert not (kept[1] & ~kept[0]).any()


def test_share_of_pruning_falls_from_step_to_step() -> None:
    """Each step prunes less than the one before, and after the last all is done."""
    shares = [share_at(step, 4) for step in range(1, 5)]
    gains = [b - a for a, b in zip([0.0, *shares], shares, strict=False)]
    assert shares[-1] == share_at(1, 1) == 1
    assert gains == sorted(gains, reverse=True)
    assert min(gains) > 0
