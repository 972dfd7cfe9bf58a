"""Networks whose architecture is made of parameters."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from trainables.torch_parameters import Parameters, unknown

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

NORMS = ("batch", "group", "layer", "none")

BLOCKS = ("gru", "attention")

GROUPS = (8, 4, 2)
"""Into how many groups channels are divided, the first of these that leaves at least 4 channels in each."""


class Residual(nn.Module):
    """What ``body`` makes of its input, added to the input as ``shortcut`` hands it on (He and others, CVPR 2016)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        return torch.add(self.shortcut(x), self.body(x))


def convolutional(p: Parameters, shape: Sequence[int], outputs: int) -> nn.Module:
    """Blocks of convolution, normalisation, activation and (from 4 pixels on) pooling, then a linear layer.

    The first block has ``channels`` channels and the others twice as many. Beyond its border an image is 0, so a kernel
    may be larger than the image.

    Args:
        p: Parameters ``channels``, ``layers``, ``kernel_size`` (odd), ``activation``, ``norm``, ``residual``,
            ``dropout``.
        shape: (c, h, w) of an image.
        outputs: Numbers that it gives for a row.

    Raises:
        ValueError: the kernel is even, or there is no activation or normalisation of that name.
    """
    incoming, height, width = shape
    size = p["kernel_size"]
    if size % 2 == 0:
        raise ValueError(f"kernel_size is {size}; give an odd number, which has a middle")
    bias = p["norm"] == "none"
    blocks: list[nn.Module] = []
    for layer in range(p["layers"]):
        outgoing = p["channels"] * (2 if layer else 1)
        convolution = nn.Conv2d(incoming, outgoing, size, padding=size // 2, bias=bias)
        block = [convolution, *_normalised(p["norm"], outgoing, nn.BatchNorm2d), activation(p["activation"])]
        bridge = partial(nn.Conv2d, incoming, outgoing, 1, bias=False)
        blocks += _shortened(block, incoming == outgoing, bridge) if p["residual"] else block
        incoming = outgoing
        if min(height, width) >= 4:
            blocks.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    return nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(p["dropout"]), nn.Linear(incoming * height * width, outputs))


def perceptron(p: Parameters, columns: int, outputs: int) -> nn.Module:
    """Hidden layers with normalisation, activation and dropout, then a linear layer.

    Args:
        p: Parameters ``layers``, ``width``, ``taper`` (each layer has that share of the width before it),
            ``activation``, ``norm``, ``residual``, ``dropout``.
        columns: Numbers in a row.
        outputs: Numbers that it gives for a row.

    Raises:
        ValueError: there is no activation or normalisation of that name.
    """
    incoming, bias = columns, p["norm"] == "none"
    blocks: list[nn.Module] = []
    for layer in range(p["layers"]):
        outgoing = max(1, round(p["width"] * p["taper"] ** layer))
        linear = nn.Linear(incoming, outgoing, bias=bias)
        block = [linear, *_normalised(p["norm"], outgoing, nn.BatchNorm1d), activation(p["activation"])]
        block.append(nn.Dropout(p["dropout"]))
        bridge = partial(nn.Linear, incoming, outgoing, bias=False)
        blocks += _shortened(block, incoming == outgoing, bridge) if p["residual"] else block
        incoming = outgoing
    return nn.Sequential(*blocks, nn.Linear(incoming, outputs))


class Recurrent(nn.Module):
    """Layers of gated recurrent units (Cho and others, EMNLP 2014), the last state of which says what it is."""

    def __init__(self, p: Parameters, values: int, outputs: int) -> None:
        super().__init__()
        between = p["dropout"] if p["layers"] > 1 else 0.0
        self.units = nn.GRU(values, p["width"], p["layers"], batch_first=True, dropout=between)
        self.head = nn.Sequential(nn.Dropout(p["dropout"]), nn.Linear(p["width"], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, shape (n, outputs), for sequences, shape (n, steps, values)."""
        return torch.as_tensor(self.head(self.units(x)[0][:, -1]))


class Attention(nn.Module):
    """Layers of self-attention (Vaswani and others, NeurIPS 2017) with learnt positions; the mean over steps decides.

    Normalisation comes before each layer, so that no warm-up is needed (Xiong and others, ICML 2020).
    """

    def __init__(self, p: Parameters, steps: int, values: int, outputs: int) -> None:
        super().__init__()
        width = p["width"]
        self.embedding = nn.Linear(values, width)
        self.positions = nn.Parameter(torch.randn(steps, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, p["heads"], 2 * width, p["dropout"], nn.functional.gelu, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, p["layers"], enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(p["dropout"]), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs, shape (n, outputs), for sequences, shape (n, steps, values)."""
        return torch.as_tensor(self.head(self.layers(self.embedding(x) + self.positions).mean(1)))


def sequential(p: Parameters, steps: int, values: int, outputs: int) -> nn.Module:
    """A network that reads sequences step by step, or looks at all steps at once.

    Args:
        p: Parameters ``block``, ``layers``, ``width``, ``heads`` (of attention), ``dropout``.
        steps: Length of each sequence.
        values: Numbers in a step.
        outputs: Numbers that it gives for a row.

    Raises:
        ValueError: there is no such block, or heads do not divide the width.
    """
    match p["block"]:
        case "gru":
            return Recurrent(p, values, outputs)
        case "attention":
            if p["width"] % p["heads"]:
                raise ValueError(f"width is {p['width']}, which {p['heads']} heads do not divide; make it a multiple")
            return Attention(p, steps, values, outputs)
    raise unknown("block", p["block"], BLOCKS)


def blocks(net: nn.Module) -> list[list[nn.Parameter]]:
    """The weights of a network of this module, block by block from the inputs on; the last block is the head.

    A block is a convolution or a hidden layer with what follows it, or a layer of recurrent units or of attention; what
    comes before the first layer of attention is a block too.
    """
    match net:
        case Recurrent():
            named = list(net.units.named_parameters())
            layers = [[w for name, w in named if name.endswith(f"_l{at}")] for at in range(net.units.num_layers)]
            return [*layers, list(net.head.parameters())]
        case Attention():
            first = [*net.embedding.parameters(), net.positions]
            return [first, *(list(layer.parameters()) for layer in net.layers.layers), list(net.head.parameters())]
    found: list[list[nn.Parameter]] = []
    for part in net.children():
        if isinstance(part, nn.Conv2d | nn.Linear | Residual):
            found.append([])
        if weights := list(part.parameters()):
            found[-1] += weights
    return found


def activation(name: str) -> nn.Module:
    """The activation of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in ACTIVATIONS:
        raise unknown("activation", name, tuple(ACTIVATIONS))
    return ACTIVATIONS[name]()


def _normalised(name: str, channels: int, batch: Callable[[int], nn.Module]) -> list[nn.Module]:
    match name:
        case "batch":
            return [batch(channels)]
        case "layer":
            return [nn.GroupNorm(1, channels)]
        case "group":
            return [nn.GroupNorm(next((g for g in GROUPS if channels % g == 0 and channels // g >= 4), 1), channels)]
        case "none":
            return []
    raise unknown("norm", name, NORMS)


def _shortened(body: list[nn.Module], same: bool, bridge: Callable[[], nn.Module]) -> list[nn.Module]:
    """The body with a way around it: the input as it is, or over a bridge where it has not the same width."""
    return [Residual(nn.Sequential(*body), nn.Identity() if same else bridge())]
