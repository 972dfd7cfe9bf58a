"""Studies that start from the definition of another."""

import pytest
from google.protobuf import text_format

from searchd.v1 import study_pb2
from searchd.wire.drafts import decode_draft
from searchd.wire.likeness import overlaid


def _study(text: str) -> study_pb2.Study:
    return text_format.Parse(text, study_pb2.Study())


@pytest.mark.parametrize(
    "there",
    ["algorithm: SEARCH_ALGORITHM_RAY ray_searcher: 'optuna'", "algorithm: SEARCH_ALGORITHM_BAYESIAN cost_aware: true"],
)
def test_another_algorithm_leaves_the_options_of_the_first_behind(there: str) -> None:
    """What goes with the earlier study's algorithm alone does not stand in the way of another one."""
    base = _study(f"trainable: 't' search {{ {there} default_first: false }}")
    merged = overlaid(base, "projects/p/studies/old", _study("search { algorithm: SEARCH_ALGORITHM_RANDOM }"))
    search = decode_draft(merged)[0].search
    assert (search.ray, search.cost_aware, search.default_first) == ("", False, False)
    same = overlaid(base, "projects/p/studies/old", _study("search { default_first: true }"))
    assert (same.search.ray_searcher, same.search.cost_aware) == (base.search.ray_searcher, base.search.cost_aware)
