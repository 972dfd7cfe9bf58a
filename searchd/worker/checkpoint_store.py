"""Where checkpoints lie: in a folder that all nodes share, or in an object store."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Protocol

from searchd.domain.errors import InvalidArgument


class CheckpointStore(Protocol):
    """Files in folders, named by relative paths with slashes. As text it is its root, without credentials.

    Every method raises OSError when the storage refuses or cannot be reached.
    """

    def folders(self, path: str) -> Sequence[str]:
        """Names of the folders in a folder, in no order; none if it is not there."""
        ...

    def put(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """A stream to write a file to, which is durable once the context is left; folders on the way are made.

        What was written before an error or a crash may be there or not: whoever reads must be able to tell.
        """
        ...

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """The file as a stream that can seek; what was read once is read again alike.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def delete(self, path: str) -> None:
        """Delete a folder with all that is in it; one that is not there is no error."""
        ...


def checkpoint_store(root: str) -> CheckpointStore:
    """The store at a folder's path, or at a URI that pyarrow knows: ``s3://bucket/folder``, ``gs://``, ``file://``.

    Raises:
        InvalidArgument: the URI cannot be used.
    """
    if "://" not in root:
        return SharedFolder(Path(root))
    from pyarrow.fs import FileSystem  # noqa: PLC0415  # slow to import

    scheme, remedy = root.split("://", 1)[0], "give a folder, or a URI such as s3://bucket/folder"
    try:
        files, path = FileSystem.from_uri(root)
    except (OSError, ValueError, NotImplementedError) as error:
        reason = f"the {scheme}:// URI cannot be used: {str(error).strip().splitlines()[0]}"
        raise InvalidArgument("checkpoints", reason, remedy) from error
    if not path.strip("/"):
        raise InvalidArgument("checkpoints", f"the {scheme}:// URI names no place", remedy)
    return ObjectStore(files, path, f"{scheme}://{path}")


class SharedFolder:
    """Implements CheckpointStore in a folder: local, NFS, or any that renames atomically. A file is whole or absent."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def folders(self, path: str) -> Sequence[str]:
        """See CheckpointStore."""
        try:
            with os.scandir(self._root / path) as entries:
                return [entry.name for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def put(self, path: str) -> Iterator[IO[bytes]]:
        """See CheckpointStore."""
        target = self._root / path
        _make(target.parent)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".tmp", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(target)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        _sync(target.parent)

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """See CheckpointStore."""
        with (self._root / path).open("rb") as file:
            yield file

    def delete(self, path: str) -> None:
        """See CheckpointStore."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / path)


class ObjectStore:
    """Implements CheckpointStore on a ``pyarrow.fs.FileSystem``. An object appears when it is complete, or cut off
    where writing failed.

    Args:
        files: The file system.
        root: Path of the root on it.
        name: The root as text.
    """

    def __init__(self, files: Any, root: str, name: str) -> None:
        self._files = files
        self._root = root
        self._name = name

    def __str__(self) -> str:
        return self._name

    def folders(self, path: str) -> Sequence[str]:
        """See CheckpointStore."""
        from pyarrow.fs import FileSelector, FileType  # noqa: PLC0415  # slow to import

        found = self._files.get_file_info(FileSelector(f"{self._root}/{path}", allow_not_found=True))
        return [info.base_name for info in found if info.type is FileType.Directory]

    @contextlib.contextmanager
    def put(self, path: str) -> Iterator[IO[bytes]]:
        """See CheckpointStore."""
        target = f"{self._root}/{path}"
        try:
            stream = self._files.open_output_stream(target)
        except FileNotFoundError:
            # Only file systems with real folders need them, and others would keep an empty object for each.
            self._files.create_dir(target.rsplit("/", 1)[0], recursive=True)
            stream = self._files.open_output_stream(target)
        with stream:
            yield stream

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        """See CheckpointStore."""
        with self._files.open_input_stream(f"{self._root}/{path}") as stream, tempfile.TemporaryFile() as file:
            shutil.copyfileobj(stream, file)
            file.seek(0)
            yield file

    def delete(self, path: str) -> None:
        """See CheckpointStore."""
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_dir(f"{self._root}/{path}")


def _make(folder: Path) -> None:
    """Make a folder and those above it so that a power cut cannot take them away again."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
