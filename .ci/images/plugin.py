"""Finds the filter in an OCI image layout as Istio and Envoy Gateway do, and writes it to standard output.

Called as `plugin.py DIRECTORY`. It follows `extractOCIStandardImage` of Istio's pkg/wasm/imagefetcher.go, of
which Envoy Gateway has a copy: the last layer, whose media type has to be that one, and the first file of that
name in it. Every digest and size on the way is checked, as a client of a registry does.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def blob(directory, descriptor):
    algorithm, digest = descriptor["digest"].split(":")
    content = (directory / "blobs" / algorithm / digest).read_bytes()
    if hashlib.new(algorithm, content).hexdigest() != digest or len(content) != descriptor["size"]:
        sys.exit(f"expected {descriptor}, found something else under its name")
    return content


def main(directory):
    (manifest,) = json.loads((directory / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(directory, manifest))
    if manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json":
        sys.exit("expected an OCI manifest, found Docker's")
    if manifest["annotations"]["module.wasm.image/variant"] != "compat":
        sys.exit("expected the annotation of the variant `compat`")
    layer = manifest["layers"][-1]
    if layer["mediaType"] != LAYER:
        sys.exit(f"expected a layer of the type {LAYER}, found {layer['mediaType']}")
    archive = gzip.decompress(blob(directory, layer))
    configuration = json.loads(blob(directory, manifest["config"]))
    if configuration["rootfs"]["diff_ids"] != [f"sha256:{hashlib.sha256(archive).hexdigest()}"]:
        sys.exit("expected the digest of the archive in the configuration")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        entry = next(it for it in files if it.name.split("/")[-1] == "plugin.wasm")
        sys.stdout.buffer.write(files.extractfile(entry).read())


main(Path(sys.argv[1]))
