"""Where the code that callers send is kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from searchd.domain.card import Card
from searchd.domain.code import CodeId, SourceFile


class CodeStore(Protocol):
    """Code by its id, the same for all servers of a store. Blocks: call it off the loop."""

    def add(self, files: Sequence[SourceFile]) -> CodeId:
        """Keep files durably, unless they are kept already; their id.

        Raises:
            InvalidArgument: they cannot be put into one folder.
            StoreFull: there is no room for them.
            StoreUnavailable: they cannot be written.
        """
        ...

    def cards(self, code: CodeId) -> Mapping[str, Card]:
        """The cards of the trainables that the code registers, by name.

        A file that cannot be imported keeps nobody from the cards of the others: then looking for a name that is not
        there (also with ``in`` or ``get``) raises the InvalidArgument described below; so does looking for one that two
        files register.

        Raises:
            CodeNotFound: there is none of that id.
            InvalidArgument: none of its files declares a trainable, or they take too long to import; the reason has
                file, line and the last error line.
        """
        ...

    def discard(self, used: Callable[[CodeId], bool]) -> None:
        """Delete the code that is not ``used``, if nobody has added it or read its cards lately."""
        ...
