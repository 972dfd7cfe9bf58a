"""The file that a backup is."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from searchd.care.archive import DATABASE, MANIFEST, ArchiveWriter, Contents, Manifest, unpack, verified
from searchd.care.errors import CareRefused, DamagedBackup

CONTENTS = Contents("0.1.0", "0002", "ab" * 16, 7, 1, 2, "2026-02-03T04:05:06+00:00", checkpoints=True)
STORED = "storage/logs/projects/default/studies/digits/1/0-0.log"


def written(folder: Path) -> tuple[Path, Manifest]:
    """A backup of two files, and what writing it returned."""
    (folder / "database").write_bytes(b"rows" * 1000)
    (folder / "log").write_bytes(b"printed\n" * 100)
    path = folder / "backup.tar.gz"
    with path.open("wb") as file:
        writer = ArchiveWriter(file)
        assert writer.add(DATABASE, folder / "database")
        assert writer.add(STORED, folder / "log")
        return path, writer.finish(CONTENTS)


def members(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Everything in a backup."""
    with tarfile.open(path) as tar:
        return [(header, file.read() if (file := tar.extractfile(header)) else b"") for header in tar]


def rewrite(path: Path, found: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Write a tar of any content."""
    with tarfile.open(path, "w:gz") as tar:
        for header, content in found:
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


def unpacked(path: Path, manifest: Manifest, to: Path) -> dict[str, bytes]:
    """The members of a backup."""

    def place(name: str, mode: int) -> AbstractContextManager[IO[bytes]]:
        target = to / name.replace("/", "_")
        return target.open("wb")

    to.mkdir()
    unpack(path, manifest, place)
    return {file.name: file.read_bytes() for file in to.iterdir()}


def test_what_was_packed_is_unpacked(tmp_path: Path) -> None:
    """The manifest comes back as it was returned, and every member with its content."""
    path, manifest = written(tmp_path)
    assert verified(path) == manifest
    assert manifest.contents == CONTENTS
    assert manifest.size == 4800
    assert unpacked(path, manifest, tmp_path / "out") == {
        DATABASE: b"rows" * 1000,
        STORED.replace("/", "_"): b"printed\n" * 100,
    }


def test_it_is_a_plain_tar_with_the_manifest_last(tmp_path: Path) -> None:
    """Any tar program lists and unpacks a backup; the manifest is its last member."""
    path, _ = written(tmp_path)
    found = members(path)
    assert [header.name for header, _ in found] == [DATABASE, STORED, MANIFEST]
    assert json.loads(found[-1][1])["members"][DATABASE]["size"] == 4000


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    """A file whose name is not UTF-8, or has a line break in it, is saved under that name."""
    (tmp_path / "database").write_bytes(b"x")
    for number, name in enumerate((b"caf\xe9", b"two\nlines", "日本".encode())):
        odd = "storage/artifacts/" + os.fsdecode(name)
        path = tmp_path / f"{number}.tar.gz"
        with path.open("wb") as file:
            writer = ArchiveWriter(file)
            writer.add(DATABASE, tmp_path / "database")
            writer.add(odd, tmp_path / "database")
            writer.finish(CONTENTS)
        assert set(verified(path).members) == {DATABASE, odd}


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    """Links, pipes and files that have vanished are not added; adding says so, and does not wait."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    writer = ArchiveWriter(io.BytesIO())
    added = [writer.add(f"storage/{name}", tmp_path / name) for name in ("file", "link", "pipe", "vanished")]
    writer.abandon()
    assert added == [True, False, False, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """A file that this user may not read raises CareRefused: a backup without it would look whole."""
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(CareRefused) as raised:
        ArchiveWriter(io.BytesIO()).add("storage/secret", tmp_path / "secret")
    assert str(tmp_path / "secret") in raised.value.reason


class Truncating(io.BytesIO):
    """A file; when much is written to it, another file is cut short."""

    def __init__(self, other: Path) -> None:
        super().__init__()
        self.other = other

    def write(self, data: Any) -> int:
        if len(data) > 1000:
            os.truncate(self.other, 1)
        return super().write(data)


def test_a_file_that_shrinks_is_filled_up(tmp_path: Path) -> None:
    """A file that is written anew while it is read leaves a backup that verifies: its end is zeros."""
    (tmp_path / "database").write_bytes(b"x")
    growing = tmp_path / "model"
    growing.write_bytes(os.urandom(3_000_000))
    out = Truncating(growing)
    writer = ArchiveWriter(out)
    writer.add(DATABASE, tmp_path / "database")
    assert writer.add("storage/artifacts/model", growing)
    manifest = writer.finish(CONTENTS)
    assert growing.stat().st_size == 1  # the fault happened
    (tmp_path / "backup").write_bytes(out.getvalue())
    assert verified(tmp_path / "backup") == manifest
    assert members(tmp_path / "backup")[1][1].endswith(bytes(100_000))


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    """With any byte of the file changed it is refused, or its members are still what was saved."""
    path, manifest = written(tmp_path)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        try:
            assert verified(path).members == manifest.members
        except DamagedBackup:
            refused += 1
    assert refused > len(whole) / 3 * 0.9


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    """Wherever a backup is cut off, down to nothing, it is refused."""
    path, _ = written(tmp_path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole) - 12, 11), len(whole) - 9]:
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedBackup):
            verified(path)


def linked(kind: bytes, to: str) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo("storage/logs/odd")
    header.type, header.linkname = kind, to
    return header, b""


def named(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), b"x"


@pytest.mark.parametrize(
    "odd",
    [
        named("/etc/passwd"),
        named("../outside"),
        named("storage/../outside"),
        named("storage//twice"),
        named("storage"),
        named("elsewhere/file"),
        linked(tarfile.SYMTYPE, "/etc/passwd"),
        linked(tarfile.LNKTYPE, "database.db"),
        linked(tarfile.CHRTYPE, ""),
        linked(tarfile.FIFOTYPE, ""),
        linked(tarfile.DIRTYPE, ""),
    ],
    ids=lambda odd: f"{odd[0].name} {odd[0].type.decode()}",
)
def test_what_no_backup_holds_is_refused(tmp_path: Path, odd: tuple[tarfile.TarInfo, bytes]) -> None:
    """Names outside the storage folder, links, devices and folders are refused by name."""
    path, _ = written(tmp_path)
    rewrite(path, [odd, *members(path)])
    with pytest.raises(DamagedBackup, match="which no backup does") as raised:
        verified(path)
    assert repr(odd[0].name) in raised.value.reason


def changed(name: str, content: bytes) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]:
    return lambda found: [(h, content if h.name == name else c) for h, c in found]


def manifested(**changes: object) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]:
    return lambda found: changed(MANIFEST, json.dumps({**json.loads(found[-1][1]), **changes}).encode())(found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed(STORED, b"another"), f"'{STORED}' is not what was saved"),
        (changed(MANIFEST, b"garbage {"), "its manifest cannot be read"),
        (changed(MANIFEST, b"[]"), "its manifest cannot be read"),
        (manifested(format=2), "its format is 2, this searchd reads 1"),
        (manifested(contents={"searchd": "1"}), "its manifest cannot be read"),
        (lambda found: found[1:], f"'{DATABASE}' is missing"),
        (lambda found: found[:-1], "it has been cut short"),
        (lambda found: [*found, named("storage/late")], "'storage/late' comes after the manifest"),
        (lambda found: [found[0], *found], f"'{DATABASE}' is there twice"),
        (lambda found: [named("storage/unlisted"), *found], "'storage/unlisted' is not in its manifest"),
    ],
)
def test_what_does_not_fit_its_manifest_is_refused(
    tmp_path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any], reason: str
) -> None:
    """A backup whose members are not exactly those of its manifest raises DamagedBackup, which says what is wrong."""
    path, _ = written(tmp_path)
    rewrite(path, change(members(path)))
    with pytest.raises(DamagedBackup) as raised:
        verified(path)
    assert raised.value.reason == reason
    assert raised.value.path == str(path)


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    """Members one of which would have to be a folder and a file at once are refused."""
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / "backup"
    with path.open("wb") as file:
        writer = ArchiveWriter(file)
        for name in (DATABASE, "storage/a", "storage/a/b"):
            writer.add(name, tmp_path / "file")
        writer.finish(CONTENTS)
    with pytest.raises(DamagedBackup, match="'storage/a' is both a file and a folder"):
        verified(path)


def test_no_database_is_refused(tmp_path: Path) -> None:
    """A backup without a database is refused."""
    path = tmp_path / "backup"
    with path.open("wb") as file:
        ArchiveWriter(file).finish(CONTENTS)
    with pytest.raises(DamagedBackup, match="it has no database"):
        verified(path)


@pytest.mark.parametrize("content", [b"", b"study_id: digits\n", gzip.compress(b"no tar"), gzip.compress(b"")])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no backup at all is refused as one."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DamagedBackup):
        verified(tmp_path / "file")


def test_a_file_that_changes_after_it_was_verified_is_refused(tmp_path: Path) -> None:
    """What is unpacked is compared once more with what was verified."""
    path, manifest = written(tmp_path)
    other = replace(manifest, members={**manifest.members, STORED: manifest.members[DATABASE]})
    with pytest.raises(DamagedBackup, match="it changed while it was read"):
        unpacked(path, other, tmp_path / "out")
