"""Writes an image that has nothing but the filter, as Istio and Envoy Gateway load it.

Called as `module.py WASM VERSION DIRECTORY`; prints the digest of the image. DIRECTORY becomes an OCI image
layout of the kind "compat": https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md. The same module
and version give the same digest on every machine: nothing of the time, the machine or the user is in it, and
what is compressed by one version of a library would come out otherwise by another, so nothing is.
"""

import hashlib
import io
import json
import shutil
import struct
import sys
import tarfile
import zlib
from pathlib import Path

# As both hosts look for it.
FILE = "plugin.wasm"
TITLE = "Portcullis module"
LARGEST_STORED_BLOCK = 0xFFFF


def layer(wasm):
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(FILE)
        entry.size = len(wasm)
        entry.mode = 0o444
        archive.addfile(entry, io.BytesIO(wasm))
    return written.getvalue()


def gzip_stored(content):
    """As gzip (RFC 1952) of blocks that are not compressed (RFC 1951, 3.2.4)."""
    # No name, no time, made on an unknown system.
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    starts = range(0, len(content), LARGEST_STORED_BLOCK) or [0]
    for start in starts:
        block = content[start : start + LARGEST_STORED_BLOCK]
        is_last = start + LARGEST_STORED_BLOCK >= len(content)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    parts.append(struct.pack("<II", zlib.crc32(content), len(content)))
    return b"".join(parts)


def encode(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


class Layout:
    """A directory of an image, with each part under its digest."""

    def __init__(self, directory):
        shutil.rmtree(directory, ignore_errors=True)
        self.directory = directory
        self.write("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))

    def write(self, name, content):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add(self, media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        self.write(f"blobs/sha256/{digest}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def path_of(descriptor):
    return "blobs/" + descriptor["digest"].replace(":", "/")


def write_image(wasm, version, directory):
    layout = Layout(directory)
    archive = layer(wasm)
    layers = [layout.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip_stored(archive))]
    labels = {
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": version,
    }
    # Istio and Envoy Gateway take it on every machine; the format wants one named, and engines that are asked
    # to keep the image want it to be one that they know.
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]},
    }
    configuration = layout.add("application/vnd.oci.image.config.v1+json", encode(configuration))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": configuration,
        "layers": layers,
        "annotations": {"module.wasm.image/variant": "compat", **labels},
    }
    manifest = layout.add(manifest["mediaType"], encode(manifest))
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": version}}
    layout.write("index.json", encode({"schemaVersion": 2, "manifests": [named]}))
    # By which `docker load` takes the same directory.
    tags = [f"portcullis:{version}"]
    loaded = {"Config": path_of(configuration), "RepoTags": tags, "Layers": [path_of(it) for it in layers]}
    layout.write("manifest.json", encode([loaded]))
    return manifest["digest"]


def main(arguments):
    if len(arguments) != 3:
        sys.exit("expected `module.py WASM VERSION DIRECTORY`")
    wasm = Path(arguments[0]).read_bytes()
    if not wasm.startswith(b"\0asm"):
        sys.exit(f"{arguments[0]}: expected a WebAssembly module")
    print(write_image(wasm, arguments[1], Path(arguments[2])))


if __name__ == "__main__":
    main(sys.argv[1:])
