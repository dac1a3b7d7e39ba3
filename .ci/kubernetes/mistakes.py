"""Mistakes that the checks have to notice: each is made in a copy of what was built.

A check that lets one of them pass says nothing about the manifests either.
"""

import copy
import json

import crosschecks
from manifests import Build, title


def at(value, path):
    for part in path.split("."):
        value = value[int(part) if part.isdigit() else part]
    return value


def put(path, new):
    """A change that writes a value at a path; the last part may be new."""
    *before, last = path.split(".")

    def change(each):
        holder = at(each, ".".join(before)) if before else each
        holder[int(last) if last.isdigit() else last] = new

    return change


def drop(path):
    *before, last = path.split(".")

    def change(each):
        del (at(each, ".".join(before)) if before else each)[last]

    return change


def rename(path, new):
    *before, last = path.split(".")

    def change(each):
        holder = at(each, ".".join(before)) if before else each
        holder[new] = holder.pop(last)

    return change


def reword(path, old, new):
    """A change within the texts below a path."""
    *before, last = path.split(".")

    def change(each):
        holder = at(each, ".".join(before)) if before else each
        holder[last] = json.loads(json.dumps(holder[last]).replace(old, new))

    return change


POD = "spec.template.spec"

# Kind and name of an object, what is done to it, and what the fault has to mention.
AGAINST_SCHEMAS = [
    ("StatefulSet portcullis-authority", put("spec.replicas", "1"), "replicas"),
    ("StatefulSet portcullis-authority", drop("spec.selector"), "selector"),
    (
        "StatefulSet portcullis-authority",
        rename(f"{POD}.containers.0.readinessProbe", "readinesProbe"),
        "readinesProbe",
    ),
    ("StatefulSet portcullis-authority", rename(f"{POD}.securityContext.fsGroup", "fsgroup"), "fsgroup"),
    ("Deployment gateway", rename(f"{POD}.volumes.2.image.reference", "refrence"), "refrence"),
    ("Deployment gateway", put(f"{POD}.containers.0.ports.0.containerPort", "10000"), "containerPort"),
    ("Deployment gateway", rename(f"{POD}.containers.0.lifecycle.preStop.sleep", "pause"), "pause"),
    ("Service portcullis-authority", rename("spec.ports.0.targetPort", "targetport"), "targetport"),
    ("NetworkPolicy portcullis-edges", rename("spec.ingress.0.from.0.podSelector", "podselector"), "podselector"),
    ("PodDisruptionBudget portcullis-authority", rename("spec.selector.matchLabels", "matchlabels"), "matchlabels"),
    ("Gateway gateway", rename("spec.infrastructure.parametersRef", "parameterRef"), "parameterRef"),
    ("Gateway gateway", drop("spec.gatewayClassName"), "gatewayClassName"),
    ("TrafficExtension portcullis", rename("spec.wasm.failStrategy", "failstrategy"), "failstrategy"),
    ("TrafficExtension portcullis", put("spec.wasm.failStrategy", "FAIL_SHUT"), "failStrategy"),
    ("TrafficExtension portcullis", drop("spec.wasm.url"), "url"),
    ("TrafficExtension portcullis", put("spec.url", "oci://registry.example/portcullis"), "url"),
    ("TrafficExtension portcullis", rename("spec.wasm.vmConfig.env.0.valueFrom", "valuefrom"), "valuefrom"),
    ("TrafficExtension portcullis", put("spec.wasm.sha256", "0123"), "sha256"),
    ("WasmPlugin portcullis", rename("spec.pluginConfig", "pluginconfig"), "pluginconfig"),
    ("WasmPlugin portcullis", put("spec.phase", "BEFORE"), "phase"),
    ("DestinationRule portcullis-authority", put("spec.trafficPolicy.tls.mode", "SIMPEL"), "mode"),
    (
        "DestinationRule portcullis-authority",
        rename("spec.trafficPolicy.tls.credentialName", "credential"),
        "credential",
    ),
    ("DestinationRule portcullis-authority", drop("spec.host"), "host"),
    ("ServiceEntry portcullis-issuer", drop("spec.hosts"), "hosts"),
    ("ServiceEntry portcullis-issuer", put("spec.ports.0.number", "443"), "number"),
    ("EnvoyExtensionPolicy portcullis", rename("spec.wasm.0.failOpen", "failopen"), "failopen"),
    ("EnvoyExtensionPolicy portcullis", put("spec.wasm.0.env.hostKeys", "PORTCULLIS_FEED_KEY"), "hostKeys"),
    ("EnvoyExtensionPolicy portcullis", drop("spec.wasm.0.code"), "code"),
    ("EnvoyProxy portcullis", put("spec.bootstrap.type", "Merged"), "type"),
    ("EnvoyProxy portcullis", rename("spec.provider.kubernetes.envoyDeployment.container", "containers"), "containers"),
    ("Certificate portcullis-authority", drop("spec.issuerRef"), "issuerRef"),
    ("Certificate portcullis-authority", rename("spec.dnsNames", "dnsnames"), "dnsnames"),
    ("PodDisruptionBudget portcullis-authority", put("apiVersion", "policy/v2"), "no schema is known"),
]

ISTIO_CALL = "spec.wasm.pluginConfig"
GATEWAY_CALL = "spec.wasm.0.config"

# The same of what is held against other objects.
AGAINST_ONE_ANOTHER = [
    ("StatefulSet portcullis-authority", put(f"{POD}.volumes.1.secret.secretName", "credentials"), "credentials"),
    (
        "StatefulSet portcullis-authority",
        put(f"{POD}.containers.0.args.5", "--tls-key=/etc/portcullis/tls/key"),
        "no key key",
    ),
    ("StatefulSet portcullis-authority", drop(f"{POD}.containers.0.volumeMounts"), "to be mounted"),
    ("StatefulSet portcullis-authority", put(f"{POD}.containers.0.ports.0.name", "https"), "port authority"),
    ("StatefulSet portcullis-authority", put("spec.template.metadata.labels.app", "authority"), "labels"),
    ("Deployment gateway", put(f"{POD}.containers.0.env.0.valueFrom.secretKeyRef.key", "secret"), "no key secret"),
    ("Deployment gateway", put(f"{POD}.containers.0.env.1.name", "FEED_KEY"), "PORTCULLIS_FEED_KEY"),
    (
        "NetworkPolicy portcullis-edges",
        put("spec.ingress.0.from.0.podSelector.matchLabels", {"app": "edge"}),
        "no pod in",
    ),
    ("NetworkPolicy portcullis-edges", put("spec.ingress.0.ports.0.port", "signal"), "no container has a port"),
    ("NetworkPolicy gateway", put("spec.ingress.1.ports.0.port", "admin"), "no container has a port"),
    (
        "NetworkPolicy portcullis-authority",
        put("spec.ingress.0.from.0.podSelector.matchLabels", {"a": "b"}),
        "any namespace",
    ),
    ("Service portcullis-authorities", put("metadata.name", "authorities"), "no Service is at"),
    ("Gateway gateway", put("spec.listeners.0.tls.certificateRefs.0.name", "tls"), "Secret tls in"),
    ("TrafficExtension portcullis", put(f"{ISTIO_CALL}.revocation.cluster", "authority"), "is called authority"),
    (
        "TrafficExtension portcullis",
        put(f"{ISTIO_CALL}.revocation.authority", "authority.svc"),
        "authority.svc is meant",
    ),
    ("TrafficExtension portcullis", drop(f"{ISTIO_CALL}.revocation"), "is called None"),
    ("TrafficExtension portcullis", drop("spec.wasm.vmConfig.env.0.valueFrom"), "does not see"),
    ("ServiceEntry portcullis-issuer", put("spec.ports.0.number", 8443), "outbound|443||issuer.example"),
    (
        "DestinationRule portcullis-issuer",
        put("spec.trafficPolicy.tls.mode", "DISABLE"),
        "outbound|443||issuer.example",
    ),
    ("DestinationRule portcullis-authority", put("spec.trafficPolicy.tls.credentialName", "ca"), "Secret ca in"),
    ("EnvoyExtensionPolicy portcullis", put("spec.wasm.0.env.hostKeys", []), "does not see"),
    (
        "EnvoyExtensionPolicy portcullis",
        put(f"{GATEWAY_CALL}.providers.issuer.remote_jwks.http_uri.cluster", "keys"),
        "called keys",
    ),
    ("EnvoyExtensionPolicy portcullis", put("spec.targetRefs.0.name", "eg"), "there is no Gateway eg"),
    ("TrafficExtension portcullis", put("metadata.namespace", "istio-system"), "no Gateway gateway in istio-system"),
    ("EnvoyProxy portcullis", put("metadata.name", "proxy"), "there is no EnvoyProxy portcullis"),
    ("Certificate portcullis-authority", put("spec.dnsNames", ["portcullis-authority"]), "no certificate is for"),
    ("EnvoyProxy portcullis", reword("spec.bootstrap", "tag_name: reason", "tag_name: cause"), "the stats_tags of"),
    ("ConfigMap portcullis-bootstrap", reword("data", "tag_name: reason", "tag_name: cause"), "the stats_tags of"),
    ("ConfigMap portcullis-bootstrap", reword("data", "custom_bootstrap", "bootstrap"), "no key custom_bootstrap.json"),
    ("ConfigMap portcullis-gateway", reword("data", "BOOTSTRAP_OVERRIDE", "BOOTSTRAP"), "nothing has stats_tags"),
]

MISTAKES = AGAINST_SCHEMAS + AGAINST_ONE_ANOTHER


def broken(all_builds, name, change, number):
    """The first build that has the object, with the mistake in it."""
    for build in all_builds:
        objects = copy.deepcopy(build.objects)
        found = next((each for each in objects if title(each) == name), None)
        if found:
            change(found)
            return Build(f"mistake {number}", objects), found
    raise LookupError(f"no build has a {name}")


def unnoticed(all_builds, faults_of_schemas):
    """Each mistake that passes the checks."""
    changed = []
    for number, (name, change, _) in enumerate(AGAINST_SCHEMAS):
        _, found = broken(all_builds, name, change, number)
        changed.append(Build(f"mistake {number}", [found]))
    said = faults_of_schemas(changed)
    for number, (name, _, expected) in enumerate(AGAINST_SCHEMAS):
        about = [fault for fault in said if fault.startswith(f"mistake {number}: ")]
        if not any(expected in fault for fault in about):
            yield f"unnoticed: mistake {number} of {name}: expected a fault with `{expected}`, found {about}"
    for number, (name, change, expected) in enumerate(AGAINST_ONE_ANOTHER):
        build, _ = broken(all_builds, name, change, number)
        about = [*crosschecks.faults(build)]
        if not any(expected in fault for fault in about):
            yield f"unnoticed: mistake in {name}: expected a fault with `{expected}`, found {about}"
