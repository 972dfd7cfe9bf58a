"""The trivial work that every contender does, the same function for all."""

LOW, HIGH = -10.0, 10.0
"""Bounds of the one parameter of the trivial trials."""


def square(x: float) -> float:
    """The trivial trial: done at once."""
    return x * x
