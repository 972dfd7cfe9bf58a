"""Magnitude pruning: the weights nearest to 0 become 0 and stay it, wherever in the network they are."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune


class Masks:
    """Which weights of a network may differ from 0. What has been pruned stays pruned, training or not.

    Args:
        net: The network.
        opt: The optimiser that trains it; after each of its steps the pruned weights are made 0 again, which no
            momentum and no weight decay then moves.
    """

    def __init__(self, net: nn.Module, opt: torch.optim.Optimizer) -> None:
        # Vectors are biases and the scales of normalisation: few, and needed.
        self._weights = {name: weight for name, weight in net.named_parameters() if weight.dim() > 1}
        self._masks = {name: torch.ones_like(weight) for name, weight in self._weights.items()}
        opt.register_step_post_hook(lambda *_: self._apply())

    def prune(self, sparsity: float) -> None:
        """Prune until this share of all weights, in [0, 1), is 0; those pruned before among them.

        Biases and normalisation are no weights here. Of equally small ones PyTorch's ``L1Unstructured`` chooses.
        """
        everything = parameters_to_vector(self._weights.values()).detach()
        method = prune.L1Unstructured(amount=round(sparsity * len(everything)))
        mask: Tensor = method.compute_mask(everything, torch.ones_like(everything))  # type: ignore[no-untyped-call]
        sizes = [weight.numel() for weight in self._weights.values()]
        for (name, weight), part in zip(self._weights.items(), torch.split(mask, sizes), strict=True):
            self._masks[name] = part.view_as(weight)
        self._apply()

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {name: mask.bool() for name, mask in self._masks.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        for name, mask in state.items():
            self._masks[name] = mask.to(self._weights[name])

    @torch.no_grad()
    def _apply(self) -> None:
        for name, weight in self._weights.items():
            weight.mul_(self._masks[name])


def share_at(step: int, steps: int) -> float:
    """How much of the pruning is done at a step, from 1: much at first, when there is much to spare.

    The cubic schedule of Zhu and Gupta, "To prune, or not to prune", ICLR workshops 2018.

    Args:
        step: In [1, steps].
        steps: In how many steps it is done.
    """
    return float(1 - (1 - step / steps) ** 3)
