"""Importances from a child process that lives for one question, so that neither the server nor its searchers wait."""

import asyncio
import contextlib
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import searchd
from searchd.domain.insight import Sample
from searchd.domain.space import SearchSpace

LONGEST = timedelta(seconds=60)


class ImportanceProcess:
    """Asks ``searchd.searchers.importance`` in a process of its own.

    Args:
        longest: How long it may take to answer, its start included.
    """

    def __init__(self, longest: timedelta = LONGEST) -> None:
        self._longest = longest.total_seconds()

    @property
    def evaluator(self) -> str:
        """The method's name."""
        return "ped-anova"

    async def shares(self, space: SearchSpace, samples: Sequence[Sample], best_share: float) -> Mapping[str, float]:
        """How much each parameter matters; the process ends with this call, however that ends.

        Raises:
            TimeoutError: it took too long.
            RuntimeError: the process ended without an answer; with the last line that it wrote.
        """
        question = pickle.dumps((space, tuple(samples), best_share))
        root = str(Path(searchd.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "searchd.searchers.importance"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is the server's
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        try:
            async with asyncio.timeout(self._longest):
                answer, errors = await child.communicate(question)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.communicate()  # reads what is left, so that nothing of it stays open
            raise
        if child.returncode:
            last = errors.decode(errors="replace").strip().rpartition("\n")[2]
            raise RuntimeError(f"the importance process ended with exit status {child.returncode}: {last}")
        found: Mapping[str, float] = pickle.loads(answer)  # noqa: S301  # from the process that this one started
        return found
