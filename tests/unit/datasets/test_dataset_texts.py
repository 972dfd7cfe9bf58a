"""What the codes of text stand for."""

from pathlib import Path

import numpy as np
import pandas as pd

from searchd.datasets import DatasetCache
from searchd.domain.study import Dataset


def test_codes_stand_for_texts(tmp_path: Path) -> None:
    """The texts of a coded column are told in the order of its codes; other columns and data without text have none."""
    names = [f"town {number % 30:02}" for number in range(60)]
    frame = pd.DataFrame({"town": names, "size": np.arange(60.0), "y": ["a", "b"] * 30})
    frame.loc[3, "town"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    datasets = DatasetCache(tmp_path / "cache", (tmp_path,))
    dataset = Dataset(uri="rows.csv", target="y")
    texts = datasets.texts(dataset)
    assert list(texts) == ["town"]
    codes = datasets.load(dataset).table[:, 0]
    assert [texts["town"][int(code)] for code in codes if np.isfinite(code)] == frame.town.dropna().tolist()
    assert datasets.texts(Dataset(builtin="iris")) == {}
