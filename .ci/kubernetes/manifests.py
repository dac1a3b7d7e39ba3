"""What the overlays of envoy/kubernetes build, and where things are in it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))
# What an example is wrapped in is made there too.
from examples import PLUGIN_CONFIGURATIONS, StrictLoader, bootstrap_around  # noqa: E402, F401

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = ROOT / "envoy" / "kubernetes"

# Where Envoy Gateway keeps its proxies, whatever the namespace of the Gateway.
ENVOY_GATEWAY = "envoy-gateway-system"

WORKLOADS = {"Deployment", "StatefulSet"}


@dataclass
class Build:
    """The objects of one overlay, as the API server gets them."""

    name: str
    objects: list

    def of(self, *kinds):
        return [each for each in self.objects if each["kind"] in kinds]

    def find(self, kind, namespace, name):
        return next((each for each in self.of(kind) if where(each) == (namespace, name)), None)


@dataclass
class Pod:
    """A pod that an object of the build makes, or that a controller makes of one."""

    name: str
    namespace: str
    labels: dict
    spec: dict

    def containers(self):
        return self.spec.get("containers", [])

    def variables(self):
        return [entry for container in self.containers() for entry in container.get("env", [])]

    def mounts(self):
        return [mount for container in self.containers() for mount in container.get("volumeMounts", [])]

    def ports(self):
        return {port["name"] for container in self.containers() for port in container.get("ports", [])}


def where(each):
    return each["metadata"].get("namespace"), each["metadata"]["name"]


def title(each):
    return f"{each['kind']} {each['metadata']['name']}"


def kustomize():
    """The command that builds a directory, or nothing where there is none."""
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    return ["kustomize", "build"] if shutil.which("kustomize") else None


def built(directory, name):
    done = subprocess.run([*kustomize(), str(directory)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"error: {name}: {done.stderr.strip()}")
    return Build(name, list(yaml.load_all(done.stdout, StrictLoader)))


def builds(scratch):
    """Each overlay as it is, and with every component, in a copy in which the comment signs are off them."""
    names = sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
    found = [built(MANIFESTS / "overlays" / name, name) for name in names]
    shutil.copytree(MANIFESTS, scratch)
    for path in scratch.glob("overlays/*/kustomization.yaml"):
        before, sign, after = path.read_text().partition("# components:")
        path.write_text(before + (sign + after).replace("# ", "", 1).replace("\n#   - ", "\n  - "))
    whole = [built(scratch / "overlays" / name, f"{name} with all components") for name in names]
    of_components = {"Certificate portcullis-authority", "Deployment portcullis-authority", "Service portcullis-signals"}
    for build in whole:
        if not of_components <= {title(each) for each in build.objects}:
            sys.exit(f"error: {build.name}: a component is not among those of its kustomization.yaml")
    return found + whole


def pods(build):
    found = []
    for each in build.of(*WORKLOADS):
        template = each["spec"]["template"]
        found.append(Pod(title(each), where(each)[0], template["metadata"]["labels"], template["spec"]))
    for each in build.of("EnvoyProxy"):
        deployment = each["spec"]["provider"]["kubernetes"]["envoyDeployment"]
        pod, container = deployment["pod"], deployment["container"]
        spec = {"containers": [container], "volumes": pod.get("volumes", [])}
        found.append(Pod(title(each), ENVOY_GATEWAY, pod["labels"], spec))
    for each in build.of("Gateway"):
        infrastructure = each["spec"]["infrastructure"]
        if infrastructure["parametersRef"]["kind"] == "ConfigMap":
            parameters = build.find("ConfigMap", where(each)[0], infrastructure["parametersRef"]["name"])
            deployment = yaml.load(parameters["data"]["deployment"], StrictLoader)
            spec = deployment["spec"]["template"]["spec"]
            found.append(Pod(title(each), where(each)[0], infrastructure["labels"], spec))
    return found


def texts(value):
    """Every text in an object."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def values_of(value, key):
    """What stands under a key, anywhere in an object."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == key:
                yield each
            yield from values_of(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from values_of(each, key)


def bootstraps(build):
    """Envoy's bootstraps among the ConfigMaps."""
    for each in build.of("ConfigMap"):
        for text in each["data"].values():
            read = yaml.load(text, StrictLoader)
            if "static_resources" in read:
                yield each, read


def additions(build):
    """What proxies add to the bootstrap that Envoy Gateway or Istio makes, each with what names it."""
    for each in build.of("EnvoyProxy"):
        yield title(each), yaml.load(each["spec"]["bootstrap"]["value"], StrictLoader)
    for pod in pods(build):
        for entry in pod.variables():
            if entry["name"] == "ISTIO_BOOTSTRAP_OVERRIDE":
                yield pod.name, yaml.load(file_in(build, pod, Path(entry["value"])), StrictLoader)


def file_in(build, pod, path):
    """The text that a pod finds at a path, out of a ConfigMap."""
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    for mount in pod.mounts():
        held = volumes.get(mount["name"], {}).get("configMap")
        if held and Path(mount["mountPath"]) == path.parent:
            return build.find("ConfigMap", pod.namespace, held["name"])["data"].get(path.name, "{}")
    return "{}"


def plugins(build):
    """Each plugin configuration, with the names of the variables that its module may see."""
    for each in build.of(*PLUGIN_CONFIGURATIONS):
        (configuration,) = PLUGIN_CONFIGURATIONS[each["kind"]](each["spec"])
        spec = each["spec"]
        if each["kind"] == "EnvoyExtensionPolicy":
            seen = spec["wasm"][0]["env"]["hostKeys"]
        else:
            machine = spec.get("wasm", spec)["vmConfig"]
            seen = [entry["name"] for entry in machine["env"] if entry.get("valueFrom") == "HOST"]
        yield title(each), configuration, seen
    for each, bootstrap in bootstraps(build):
        for wasm in values_of(bootstrap, "config"):
            seen = wasm["vm_config"]["environment_variables"]["host_env_keys"]
            yield title(each), wasm["configuration"]["value"], seen
