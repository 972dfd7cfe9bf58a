"""The client of a searchd server."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from searchd.client.cluster import (
    Cluster,
    ServerInfo,
    Trainable,
    read_cluster,
    read_server_info,
    read_trainable,
)
from searchd.client.code import packed, refuse_while_imported
from searchd.client.connection import Backoff, Connection
from searchd.client.handle import PAGE_SIZE, StudyHandle
from searchd.client.names import full_study_name, project_name
from searchd.client.rows import study_row, trainable_row
from searchd.client.table import Table, complete
from searchd.client.views import Study, read_study
from searchd.domain.code import SourceFile, code_id
from searchd.domain.errors import CodeNotFound, InvalidStudy, SearchdError, Violation
from searchd.domain.study import StudyName, StudyState
from searchd.v1 import study_pb2, study_service_pb2, system_service_pb2, trainable_service_pb2
from searchd.wire.study_file import StudyFile, study_from_mapping
from searchd.wire.study_file import read_study as read_study_file

DEFAULT_ADDRESS = "localhost:50051"


class Client:
    """Speaks to a server, or to several on one store, of which one leads; a context manager.

    Calls are repeated for a moment while the server is away, so that a restart goes unnoticed; with several addresses
    the others are asked, and what changes something goes to the leader, with time for one to take over. A mutation
    carries a request_id and happens once. Every method raises ServerUnreachable if nobody takes what it asks.

    Args:
        address: ``host:port``, or several with commas between them; None means the environment's SEARCHD_ADDRESS, or
            localhost:50051.
        backoff: Waits between tries; None means 0.1 s, doubling.

    Raises:
        InvalidArgument: the address names no server.
    """

    def __init__(self, address: str | None = None, *, backoff: Backoff | None = None) -> None:
        self._connection = Connection(
            address or os.environ.get("SEARCHD_ADDRESS") or DEFAULT_ADDRESS, backoff=backoff or Backoff()
        )

    @property
    def address(self) -> str:
        """``host:port`` of the server, or of each with commas between them."""
        return self._connection.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and every watch on it."""
        self._connection.close()

    def create_study(
        self,
        definition: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        /,
        *,
        study_id: str = "",
        project: str = "default",
        validate_only: bool = False,
        code: str | os.PathLike[str] | Sequence[SourceFile] | None = None,
        **fields: Any,
    ) -> StudyHandle:
        """Start a study.

        Args:
            definition: Path of a study file, or its content as a mapping.
            study_id: Last part of its name; overrides the definition's. Empty: the server makes one up.
            project: Whose study it is.
            validate_only: Only check; nothing is stored, and the handle's name is what it would be.
            code: A folder whose Python files register the trainable, or such files. They are sent unless the server
                has them, kept with the study, and trained by workers of their own. None means a trainable that the
                server knows.
            **fields: Top-level fields of the definition as keywords; they override those of a mapping.

        Returns:
            The study. If one of that name and the same definition exists, that one.

        Raises:
            InvalidStudy: with everything that is wrong, whether it was found in the file or by the server.
            StudyExists: another study of that name exists.
            InvalidArgument: the code cannot be sent, or a file of it cannot be imported.
            CodeRefused: the server takes none.
            TypeError: neither a definition nor keywords, or a file and keywords, are given.
            OSError: the file cannot be read.
        """
        file = _study_file(definition, fields)
        if file.empty:
            raise InvalidStudy(file.violations)
        files = _files(code)
        if files:
            file.study.code_id = code_id(files)
        request = study_service_pb2.CreateStudyRequest(
            parent=project_name(project),
            study_id=study_id or file.study_id,
            study=file.study,
            request_id=str(uuid4()),
            validate_only=validate_only or bool(file.violations),
        )
        try:
            response = self._created(request, files)
        except SearchdError as error:
            if not file.violations:
                raise
            found = error.violations if isinstance(error, InvalidStudy) else ()
            raise InvalidStudy(_merged(file.violations, found)) from error
        if file.violations:
            raise InvalidStudy(file.violations)
        return StudyHandle(self._connection, StudyName(response.study.name))

    def _created(
        self, request: study_service_pb2.CreateStudyRequest, files: Sequence[SourceFile]
    ) -> study_service_pb2.CreateStudyResponse:
        """The answer; if the server does not have the files, they are sent, and it is asked again."""
        try:
            return self._connection.call(lambda at: at.studies.CreateStudy, request)
        except CodeNotFound:
            if not files:
                raise
        sent = [trainable_service_pb2.SourceFile(path=file.path, content=file.content) for file in files]
        upload = trainable_service_pb2.UploadCodeRequest(files=sent)
        self._connection.call(lambda at: at.trainables.UploadCode, upload)
        return self._connection.call(lambda at: at.studies.CreateStudy, request)

    def study(self, name: str, *, project: str = "default") -> StudyHandle:
        """The study of that name, short or full; whether it exists shows when it is used.

        Raises:
            InvalidArgument: this cannot be a study's name.
        """
        return StudyHandle(self._connection, full_study_name(name, project))

    def studies(
        self,
        *,
        project: str = "default",
        state: StudyState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Table[Study]:
        """The project's studies in name order; only those in ``state`` and with all of ``labels``, if given."""
        terms = [f"state={state.name}"] if state is not None else []
        terms += [f'labels.{name}="{value}"' for name, value in (labels or {}).items()]
        parent = project_name(project)

        def page(token: str) -> tuple[list[Study], str]:
            request = study_service_pb2.ListStudiesRequest(
                parent=parent, page_size=PAGE_SIZE, page_token=token, filter=" AND ".join(terms)
            )
            response = self._connection.call(lambda at: at.studies.ListStudies, request)
            return [read_study(study) for study in response.studies], response.next_page_token

        return Table(page, study_row)

    def trainables(self) -> Table[Trainable]:
        """The registered trainables in name order."""
        request = trainable_service_pb2.ListTrainablesRequest()
        response = self._connection.call(lambda at: at.trainables.ListTrainables, request)
        return Table(complete([read_trainable(card) for card in response.trainables]), trainable_row)

    def trainable(self, name: str) -> Trainable:
        """The card of one trainable.

        Raises:
            TrainableNotFound: no trainable of that name is registered.
        """
        request = trainable_service_pb2.GetTrainableRequest(name=name)
        return read_trainable(self._connection.call(lambda at: at.trainables.GetTrainable, request).trainable)

    def cluster(self) -> Cluster:
        """Nodes, workers and who uses them."""
        request = system_service_pb2.GetClusterRequest()
        return read_cluster(self._connection.call(lambda at: at.system.GetCluster, request))

    def server_info(self) -> ServerInfo:
        """Version, limits and features of the server."""
        request = system_service_pb2.GetServerInfoRequest()
        return read_server_info(self._connection.call(lambda at: at.system.GetServerInfo, request))


def _files(code: str | os.PathLike[str] | Sequence[SourceFile] | None) -> Sequence[SourceFile]:
    refuse_while_imported("create_study")
    if code is None:
        return ()
    return packed(Path(code)) if isinstance(code, str | os.PathLike) else code


def _study_file(definition: str | os.PathLike[str] | Mapping[str, Any] | None, fields: Mapping[str, Any]) -> StudyFile:
    if definition is None or isinstance(definition, Mapping):
        if definition is None and not fields:
            raise TypeError("give a study file, a mapping, or keywords such as trainable=…")
        return study_from_mapping({**(definition or {}), **fields})
    if fields:
        raise TypeError(f"give either a study file or keywords, not both: {', '.join(fields)}")
    return read_study_path(Path(definition))


def read_study_path(path: Path) -> StudyFile:
    """Read a study file, as far as it can be read.

    Raises:
        OSError: it is not there, or may not be read.
    """
    try:
        return read_study_file(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8"
        return StudyFile("", study_pb2.Study(), (Violation("file", problem, "save it as UTF-8 text"),))


def _merged(mine: tuple[Violation, ...], theirs: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """The file's violations, then the server's, except where it complains of what the file reader had to leave out."""
    paths = [v.path for v in mine]
    return mine + tuple(v for v in theirs if not any(v.path == p or v.path.startswith(f"{p}.") for p in paths))
