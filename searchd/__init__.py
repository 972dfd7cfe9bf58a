"""searchd: a distributed hyperparameter search service. The client works without Ray; everything loads lazily."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.3.0"

if TYPE_CHECKING:
    from searchd.cli.run import run
    from searchd.client import Client

__all__ = ["Client", "__version__", "run"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        # Loads grpc, which `import searchd.trainable` must not.
        return importlib.import_module("searchd.client").Client
    if name == "run":
        return importlib.import_module("searchd.cli.run").run
    raise AttributeError(f"module 'searchd' has no attribute {name!r}")
