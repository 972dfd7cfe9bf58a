"""Datasets: found, read, fingerprinted, kept once per node, split and checked.

Every worker imports this, so nothing heavier than NumPy is loaded before it is needed.
"""

from searchd.datasets.cache import DataChanged, DatasetCache
from searchd.datasets.loaded import LoadedDataset

__all__ = ["DataChanged", "DatasetCache", "LoadedDataset"]
