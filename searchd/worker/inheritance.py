"""What a descendant does not take over from its donor: the options of torch's optimisers and learning rate schedules.

Both are part of their ``state_dict``, so that restoring one would put the donor's learning rate in place of the
descendant's own.
"""

from collections.abc import Callable
from typing import Any

_FIRST_RATE = "initial_lr"
"""Where torch's schedules note the rate that an optimiser began with."""


def options_of(value: Any) -> Callable[[], None]:
    """Remember the options that an optimiser or a schedule was built with; the answer puts them back.

    What a schedule has made of a learning rate so far counts on: a rate that the donor's schedule has halved becomes
    half of the descendant's first one. Nothing is put back to anything else.
    """
    groups = getattr(value, "param_groups", None)
    if isinstance(groups, list):
        own = [{name: option for name, option in group.items() if name != "params"} for group in groups]
        return lambda: _put_back(value.param_groups, own)
    rates = getattr(value, "base_lrs", None)
    if isinstance(rates, list):
        first = list(rates)
        return lambda: setattr(value, "base_lrs", first)
    return lambda: None


def _put_back(groups: list[dict[str, Any]], own: list[dict[str, Any]]) -> None:
    for group, options in zip(groups, own, strict=False):
        share = group["lr"] / group[_FIRST_RATE] if group.get(_FIRST_RATE) else 1.0
        group.update(options)
        if _FIRST_RATE in options:
            group["lr"] = options[_FIRST_RATE] * share
