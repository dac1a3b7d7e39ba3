"""Sorts the YAML files of a directory, and lists the Envoy bootstraps to validate in OUTPUT/bootstraps.

Called as `examples.py DIRECTORY OUTPUT`. Of a Kubernetes manifest it takes the plugin configuration and
writes a bootstrap around it, as JSON text in a StringValue: that is how Istio and Envoy Gateway hand it
over. A file of an unknown kind is an error, so that no example is left unchecked.
"""

import json
import sys
from pathlib import Path

import yaml

PLUGIN_CONFIGURATIONS = {
    "TrafficExtension": lambda spec: [spec["wasm"]["pluginConfig"]],
    "WasmPlugin": lambda spec: [spec["pluginConfig"]],
    "EnvoyExtensionPolicy": lambda spec: [extension["config"] for extension in spec["wasm"]],
}


class StrictLoader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, of which YAML loaders silently take the last."""

    def construct_mapping(self, node, deep=False):
        # The keys that YAML 1.1 merges in (`<<`) may be there again, to say otherwise.
        keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        names = [self.construct_object(key, deep=True) for key in keys]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{name}` is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def bootstrap_around(configuration, variables=()):
    """A bootstrap with this plugin configuration, whose module sees these variables."""
    wasm = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "portcullis",
            "root_id": "portcullis",
            "vm_config": {
                "vm_id": "portcullis",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": "target/portcullis.wasm"}},
                "environment_variables": {"host_env_keys": list(variables)},
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": json.dumps(configuration),
            },
        },
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gate",
        "http_filters": [
            {"name": "envoy.filters.http.wasm", "typed_config": wasm},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {"virtual_hosts": []},
    }
    listener = {
        "name": "gate",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener]}}


def bootstraps(path, output):
    """The bootstraps to validate for one file; none for a compose file, or for the authority's own file."""
    for number, document in enumerate(yaml.load_all(path.read_text(), StrictLoader)):
        if "static_resources" in document:
            yield path
        elif document.get("kind") in PLUGIN_CONFIGURATIONS:
            for configuration in PLUGIN_CONFIGURATIONS[document["kind"]](document["spec"]):
                written = output / f"{path.stem}-{number}.json"
                written.write_text(json.dumps(bootstrap_around(configuration), indent=2))
                yield written
        elif "services" not in document and "issuers" not in document:
            sys.exit(f"{path}: expected an Envoy bootstrap, a known Kubernetes kind, a compose file or an authority's file")


def main(directory, output):
    found = [bootstrap for path in sorted(directory.glob("*.yaml")) for bootstrap in bootstraps(path, output)]
    if not found:
        sys.exit(f"{directory}: expected at least one Envoy bootstrap")
    (output / "bootstraps").write_text("".join(f"{bootstrap}\n" for bootstrap in found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
