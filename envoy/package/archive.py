"""Packs a directory as a tar.gz that is the same whenever its files are, with their checksums in it.

Called as `archive.py DIRECTORY SECONDS`: the archive is DIRECTORY.tar.gz, with its own checksum beside it. The
files are sorted, belong to user 0, have two kinds of permissions, and are all of the time SECONDS since 1970.
"""

import gzip
import hashlib
import sys
import tarfile
from pathlib import Path


SUMS = "SHA256SUMS"


def sums(directory, paths):
    """As `sha256sum --check` reads them."""
    digests = [(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to(directory)) for path in paths]
    return "".join(f"{digest}  {path.as_posix()}\n" for digest, path in digests)


def pack(directory, seconds, archive):
    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = seconds
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with archive.open("wb") as file:
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=9, mtime=seconds) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as written:
                for path in [directory, *sorted(directory.rglob("*"))]:
                    name = path.relative_to(directory.parent).as_posix()
                    written.add(path, arcname=name, recursive=False, filter=plain)


def main(arguments):
    if len(arguments) != 2:
        sys.exit("expected `archive.py DIRECTORY SECONDS`")
    directory = Path(arguments[0])
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != SUMS)
    (directory / SUMS).write_text(sums(directory, files))
    archive = directory.with_name(f"{directory.name}.tar.gz")
    pack(directory, int(arguments[1]), archive)
    archive.with_name(f"{archive.name}.sha256").write_text(sums(archive.parent, [archive]))


if __name__ == "__main__":
    main(sys.argv[1:])
