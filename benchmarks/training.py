"""The work of a second or so that every contender does, the same function for all."""

import time

import torch
from torch import nn


def train_network(iterations: int, seed: int) -> float:
    """Train a small network on random data with one thread; the last loss.

    Args:
        iterations: Batches of 128 rows; one takes in the order of a millisecond.
        seed: Of weights and data.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    rows, labels = torch.randn(128, 64), torch.randint(0, 10, (128,))
    loss = torch.zeros(())
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(rows), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return float(loss.detach())


def seconds_to_train(iterations: int, seed: int) -> float:
    """How long ``train_network`` takes here and now."""
    began = time.perf_counter()
    train_network(iterations, seed)
    return time.perf_counter() - began
