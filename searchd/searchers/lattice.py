"""Levels and lattices where searchers look for them; they are part of the domain, which checks studies with them."""

from searchd.domain.lattice import Key, Lattice
from searchd.domain.levels import Levels, Options, Steps
from searchd.domain.space import Domain, Float, Integer

__all__ = ["Key", "Lattice", "Levels", "Options", "Steps", "levels", "steps"]


def levels(domain: Domain) -> Levels | None:
    """The values of a domain by position; None if they are a continuum."""
    return domain.levels


def steps(domain: Integer | Float) -> Steps | None:
    """The values of a numeric domain by position; None if they are a continuum."""
    return domain.levels
