"""A ranking as the client hands it out."""

from searchd.client.plain import plain_message
from searchd.client.rows import entry_row
from searchd.client.table import Table, complete
from searchd.client.views import Entry, read_entry, read_study
from searchd.v1 import leaderboard_service_pb2


class Leaderboard(Table[Entry]):
    """Trials at the top rung, best first, then partial ones; ``study`` is the study as it stood."""

    def __init__(self, message: leaderboard_service_pb2.GetLeaderboardResponse) -> None:
        super().__init__(complete([read_entry(entry) for entry in message.entries]), entry_row)
        self.study = read_study(message.study)
        self._message = message

    def to_dict(self) -> dict[str, object]:
        """The message as JSON values, with the protos' field names."""
        return plain_message(self._message)
