"""What can go wrong between searchd and Ray."""

from searchd.domain.errors import SearchdError


class RayUnavailable(SearchdError):  # noqa: N818  # named for what went wrong
    """Ray could not be started or reached."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"Ray is unavailable: {self.reason}; {self.remedy}"
