"""What a server is told when it starts, checked at the edge and composed of what each adapter wants to know."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from searchd.domain.errors import InvalidArgument
from searchd.rpc.server import RpcSettings
from searchd.service.loop import LoopSettings
from searchd.service.system import Limits
from searchd.stores.connections import SqlSettings


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of a server.

    Attributes:
        data_dir: Where the store, checkpoints, logs, artifacts and the dataset cache are; made if it is not there.
        listen: Loopback address and port of the front door; port 0 takes a free one.
        ray_address: A running Ray cluster to join; None starts a local one.
        num_cpus: CPU slots of the local Ray; None means as many as the machine has cores.
        num_gpus: GPUs of the local Ray; None means those that Ray finds.
        store_url: ``sqlite:///PATH`` or ``postgresql://USER@HOST/DATABASE``; None means an SQLite file in data_dir.
        storage_dir: Root of checkpoints, logs and artifacts, on a file system that all nodes, and all servers of the
            store, share; None means a folder in data_dir.
        checkpoints: Root of checkpoints in an object store, as a URI that pyarrow knows; None means a folder in the
            storage.
        trainables: Modules that register trainables, beside the installed ones.
        search_path: Folders in which to look for these modules.
        takes_code: Whether callers may send code that their studies train. Whoever reaches the server can have it run
            what they like then, under the server's account.
        data_roots: Folders under which dataset files may lie.
        drain_timeout: How long leaving may wait for workers to save, 0 or more.
        keep_ray: Leave the local Ray and its workers running on exit, for the next server to adopt.
        worker_grace: A worker that hears from no server for so long saves and ends.
        loop: Bounds of the loop.
        limits: Bounds that callers meet.
    """

    data_dir: Path
    listen: str = "127.0.0.1:50051"
    ray_address: str | None = None
    num_cpus: int | None = None
    num_gpus: int | None = None
    store_url: str | None = None
    storage_dir: Path | None = None
    checkpoints: str | None = None
    trainables: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    takes_code: bool = True
    data_roots: tuple[Path, ...] = ()
    drain_timeout: timedelta = timedelta(seconds=30)
    keep_ray: bool = False
    worker_grace: timedelta = timedelta(minutes=10)
    loop: LoopSettings = field(default_factory=LoopSettings)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Check what no adapter checks.

        Raises:
            InvalidArgument: a value is out of range; the field is the option's name.
        """
        for name, value in (("--num-cpus", self.num_cpus), ("--num-gpus", self.num_gpus)):
            if value is not None and value < (1 if name == "--num-cpus" else 0):
                raise InvalidArgument(name, f"{value} is too small", "give 1 CPU or more, 0 GPUs or more")
        if self.ray_address is not None and (self.num_cpus is not None or self.num_gpus is not None):
            raise InvalidArgument("--ray-address", "has a size of its own", "drop --num-cpus and --num-gpus")
        if self.drain_timeout < timedelta(0):
            raise InvalidArgument("--drain-timeout", "is negative", "give 0s or more")

    @property
    def rpc(self) -> RpcSettings:
        """The front door's settings."""
        return RpcSettings(self.listen)

    @property
    def store(self) -> SqlSettings:
        """The store's settings."""
        return SqlSettings(self.store_url or f"sqlite:///{self.data_dir.absolute() / 'searchd.db'}")

    @property
    def storage(self) -> Path:
        """Root of checkpoints, logs and artifacts."""
        return (self.storage_dir or self.data_dir / "storage").absolute()

    @property
    def cache(self) -> Path:
        """Root of the dataset cache."""
        return self.data_dir.absolute() / "datasets"
