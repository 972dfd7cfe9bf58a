"""searchd: a distributed hyperparameter search service. The client works without Ray; everything loads lazily."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from searchd.client import Client

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from searchd.client import Client  # noqa: PLC0415  # loads grpc, which `import searchd.trainable` must not

        return Client
    raise AttributeError(f"module 'searchd' has no attribute {name!r}")
