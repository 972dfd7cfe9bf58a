"""Commands on the server's process: up, down."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from searchd import signals
from searchd.cli.failures import CommandFailed, ExitCode
from searchd.cli.options import DEFAULT_DATA_DIR, DataDir, Modules
from searchd.cli.output import show_line

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("down")(down)


def up(
    listen: Annotated[
        str, typer.Option("--listen", help="address and port; port 0 takes a free one")
    ] = "127.0.0.1:50051",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="join this Ray instead of starting one")
    ] = None,
    num_cpus: Annotated[int | None, typer.Option("--num-cpus", min=1, help="CPUs of the local Ray")] = None,
    num_gpus: Annotated[int | None, typer.Option("--num-gpus", min=0, help="GPUs of the local Ray")] = None,
    store: Annotated[
        str | None, typer.Option("--store", metavar="URL", help="database instead of the built-in one")
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(
            "--storage",
            metavar="DIR",
            file_okay=False,
            help="where checkpoints, logs and artifacts go, shared by all nodes and servers  [default: in --data-dir]",
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option("--checkpoints", metavar="URI", help="s3:// or gs:// place for checkpoints, instead of --storage"),
    ] = None,
    trainables: Modules = None,
    no_code: Annotated[
        bool, typer.Option("--no-code", help="take no code that callers send with their studies")
    ] = False,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--data-root",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="where dataset files may lie; may be repeated  [default: .]",
        ),
    ] = None,
    drain_timeout: Annotated[
        str, typer.Option("--drain-timeout", help="how long running epochs may take to finish on SIGTERM")
    ] = "30s",
    keep_ray: Annotated[bool, typer.Option("--keep-ray", help="leave the local Ray and its workers running")] = False,
) -> None:
    """Start a local Ray and serve, in the foreground, until SIGTERM or Ctrl-C."""
    from searchd.cli import note
    from searchd.config import ServerSettings

    settings = ServerSettings(
        listen=listen,
        data_dir=data_dir,
        ray_address=ray_address,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        store_url=store,
        storage_dir=storage,
        checkpoints=checkpoints,
        trainables=tuple(trainables or ()),
        takes_code=not no_code,
        search_path=(str(Path.cwd()),),
        data_roots=tuple(data_root or [Path.cwd()]),
        drain_timeout=duration_option("--drain-timeout", drain_timeout),
        keep_ray=keep_ray,
    )
    data_dir.mkdir(parents=True, exist_ok=True)
    earlier = note.read(data_dir)
    if earlier is not None and earlier.process() is not None:
        remedy = f"end it with `searchd down --data-dir {data_dir}`, or choose another directory"
        raise CommandFailed(f"process {earlier.pid} already serves from {data_dir}; {remedy}", ExitCode.REFUSED)
    mine = note.write(data_dir)
    try:
        with signals.held_back():
            from searchd.wiring import serve

            serve(settings, show_line)
    finally:
        note.erase(data_dir, mine)


def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """End the server that serves from a data directory, and the local Ray that it started."""
    from searchd.cli.shutdown import end_everything

    ended = end_everything(data_dir)
    for line in ended or [f"nothing runs from {data_dir}"]:
        show_line(line)


def duration_option(option: str, text: str) -> timedelta:
    """The duration that an option gives.

    Raises:
        CommandFailed: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text.strip())
    if match is None:
        raise CommandFailed(f"{option} {text!r} is not a duration such as 30s or 2m", ExitCode.USAGE)
    return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])
