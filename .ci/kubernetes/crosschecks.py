"""What no schema can say: that what one object names is there in another one.

Each check takes a build and yields what is wrong with it.
"""

import re
from urllib.parse import urlsplit

import yaml

from manifests import (
    MANIFESTS,
    WORKLOADS,
    StrictLoader,
    additions,
    bootstraps,
    plugins,
    pods,
    texts,
    title,
    values_of,
    where,
)

README = MANIFESTS / "README.md"


def documented():
    """The Secrets and ConfigMaps that the page has in a table: kind, namespace and name, with their keys."""
    found = {}
    for row in README.read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        kind, _, name = cells[0].partition(" ")
        if kind in ("Secret", "ConfigMap") and len(cells) >= 3:
            for namespace in re.findall(r"`([^`]+)`", cells[1]):
                found[kind, namespace, name.strip("`")] = set(re.findall(r"`([^`]+)`", cells[2]))
    return found


def made(build):
    """The same of what the build has itself, or has cert-manager make."""
    found = {(each["kind"], *where(each)): set(each["data"]) for each in build.of("ConfigMap")}
    for each in build.of("Certificate"):
        found["Secret", where(each)[0], each["spec"]["secretName"]] = {"tls.crt", "tls.key", "ca.crt"}
    return found


def references(build):
    """Who refers to which Secret or ConfigMap, and to which keys of it."""
    for pod in pods(build):
        for entry in pod.variables():
            for kind, key in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                if source := entry.get("valueFrom", {}).get(key):
                    yield pod.name, (kind, pod.namespace, source["name"]), {source["key"]}
        volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
        for mount in pod.mounts():
            volume = volumes.get(mount["name"], {})
            keys = files_in(build, pod, mount["mountPath"])
            if "secret" in volume:
                yield pod.name, ("Secret", pod.namespace, volume["secret"]["secretName"]), keys
            elif "configMap" in volume:
                yield pod.name, ("ConfigMap", pod.namespace, volume["configMap"]["name"]), keys
    for each in build.of("DestinationRule"):
        for name in values_of(each, "credentialName"):
            yield title(each), ("Secret", where(each)[0], name), {"ca.crt"}
    for each in build.of("Gateway"):
        for listed in values_of(each, "certificateRefs"):
            for one in listed:
                yield title(each), ("Secret", where(each)[0], one["name"]), {"tls.crt", "tls.key"}


def files_in(build, pod, directory):
    """The files in a mounted directory that the pod's arguments, or what it reads, name."""
    named = [*texts(pod.spec)]
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            mounted = build.find("ConfigMap", pod.namespace, volume["configMap"]["name"])
            named += texts(mounted or {})
    for each in build.of("EnvoyProxy"):
        named += texts(each) if title(each) == pod.name else []
    pattern = re.compile(re.escape(directory) + r"/([\w.-]+)")
    return {name for text in named for name in pattern.findall(text)}


def secrets(build):
    known = documented() | made(build)
    for who, (kind, namespace, name), keys in references(build):
        if (kind, namespace, name) not in known:
            yield f"{who}: {kind} {name} in {namespace} is neither made nor documented in {README.name}"
        elif lacking := keys - known[kind, namespace, name]:
            yield f"{who}: {kind} {name} in {namespace} has no key {', '.join(sorted(lacking))}"


def mounts(build):
    for pod in pods(build):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        for each in build.of(*WORKLOADS):
            if title(each) == pod.name:
                volumes |= {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for mount in pod.mounts()}
        if mounted != volumes:
            yield f"{pod.name}: expected each volume to be mounted, found {sorted(mounted ^ volumes)}"


def selected(build, namespaces, labels):
    """The pods that have these labels, in one of the namespaces, or in any."""
    return [
        pod
        for pod in pods(build)
        if (namespaces is None or pod.namespace in namespaces) and labels.items() <= pod.labels.items()
    ]


def selectors(build):
    """Services, policies and budgets mean a pod that there is, and ports that it has."""
    for each in build.of("Service", "NetworkPolicy", "PodDisruptionBudget"):
        spec, namespace = each["spec"], where(each)[0]
        chosen = spec["podSelector"] if each["kind"] == "NetworkPolicy" else spec["selector"]
        labels = chosen.get("matchLabels", chosen)
        meant = selected(build, {namespace}, labels)
        if not meant:
            yield f"{title(each)}: no pod in {namespace} has the labels {labels}"
            continue
        named = [port["targetPort"] for port in spec.get("ports", [])]
        named += [port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]]
        for port in named:
            if not any(port in pod.ports() for pod in meant):
                yield f"{title(each)}: no container has a port {port}"
        for peer in (peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])):
            yield from peers(build, each, peer)
    for each in build.of(*WORKLOADS):
        template = each["spec"]["template"]
        wanted = [each["spec"]["selector"]["matchLabels"]]
        wanted += [one["matchLabels"] for one in values_of(template, "labelSelector")]
        for labels in wanted:
            if not labels.items() <= template["metadata"]["labels"].items():
                yield f"{title(each)}: its own pods do not have the labels {labels}"


def peers(build, policy, peer):
    labels = peer["podSelector"]["matchLabels"]
    name = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name")
    by_hand = all(f"{label}: {value}" in README.read_text() for label, value in labels.items())
    is_there = selected(build, {name} if name else None, labels)
    # Of a namespace that is named, the build knows the pods; of any, the page says who gets the label.
    if not is_there and (name or not by_hand):
        yield f"{title(policy)}: no pod in {name or 'any namespace'} has the labels {labels}"


def variables(build):
    """What the filter reads is what its module may see, and that is in the proxy's environment."""
    for name, configuration, seen in plugins(build):
        read = set(values_of(configuration, "environment_variable"))
        if read - set(seen):
            yield f"{name}: the module does not see {sorted(read - set(seen))}"
        edges = selected(build, None, {"portcullis-access": "edge"})
        given = {entry["name"] for pod in edges for entry in pod.variables()}
        if set(seen) - given:
            yield f"{name}: no edge has {sorted(set(seen) - given)} in its environment"


def istio_clusters(build):
    """The names that Istio gives to what an overlay declares, with the name that the proxy verifies there."""
    hosts = {}
    for each in build.of("ServiceEntry"):
        for host in each["spec"]["hosts"]:
            hosts[host] = {port["number"] for port in each["spec"]["ports"]}
    for each in build.of("Service"):
        # Of a headless one, Istio's sidecars have no endpoints of their own.
        if each["spec"].get("clusterIP") != "None":
            namespace, name = where(each)
            hosts[f"{name}.{namespace}.svc.cluster.local"] = {port["port"] for port in each["spec"]["ports"]}
    for each in build.of("DestinationRule"):
        tls = each["spec"]["trafficPolicy"]["tls"]
        is_verified = tls["mode"] == "SIMPLE" and tls["subjectAltNames"] == [tls["sni"]]
        if is_verified and not tls.get("insecureSkipVerify"):
            for port in hosts.get(each["spec"]["host"], ()):
                yield f"outbound|{port}||{each['spec']['host']}", tls["sni"]


def envoy_clusters(build):
    """The clusters of bootstraps that speak TLS, with the name that is verified there."""
    for cluster in static_clusters(build):
        context = cluster.get("transport_socket", {}).get("typed_config", {})
        names = [*values_of(context, "match_typed_subject_alt_names")]
        is_verified = names == [[{"san_type": "DNS", "matcher": {"exact": context.get("sni")}}]]
        if is_verified and [*values_of(context, "trusted_ca")]:
            yield cluster["name"], context["sni"]


def static_clusters(build):
    parts = [part for _, part in [*bootstraps(build), *additions(build)]]
    return [cluster for part in parts for cluster in part.get("static_resources", {}).get("clusters", [])]


def clusters(build):
    """Every call of the filter has a cluster that leads where it is meant to."""
    there = dict([*istio_clusters(build), *envoy_clusters(build)])
    found = [*plugins(build)]
    if len(found) != 1:
        yield f"expected one plugin configuration, found {len(found)}"
    for name, configuration, _ in found:
        revocation = configuration.get("revocation", {})
        calls = [(revocation.get("cluster"), revocation.get("authority"))]
        for provider in configuration["providers"].values():
            source = provider.get("remote_jwks", {}).get("http_uri", {})
            calls.append((source.get("cluster"), urlsplit(source.get("uri", "")).hostname))
        for cluster, host in calls:
            if cluster not in there:
                yield f"{name}: no cluster with verified TLS is called {cluster}; there are {sorted(there)}"
            elif there[cluster] != host:
                yield f"{name}: {cluster} leads to {there[cluster]}, and {host} is meant"


def addresses(build):
    """Envoy looks for the authority where a Service is, and finds it by a name that is in its certificate."""
    services = {}
    for each in build.of("Service"):
        namespace, name = where(each)
        services[f"{name}.{namespace}.svc.cluster.local"] = {port["port"] for port in each["spec"]["ports"]}
    for address in values_of(static_clusters(build), "socket_address"):
        host, port = address["address"], address["port_value"]
        if ".portcullis." in host and port not in services.get(host, ()):
            yield f"no Service is at {host}:{port}"
    certified = {name for each in build.of("Certificate") for name in each["spec"].get("dnsNames", [])}
    for _, configuration, _ in plugins(build):
        name = configuration.get("revocation", {}).get("authority")
        if certified and name not in certified:
            yield f"no certificate is for {name}"


def metric_labels(build):
    """Alerts and dashboard ask for labels, which metrics have by rules in the bootstrap: those of the example."""
    example = yaml.load((MANIFESTS.parent / "envoy.yaml").read_text(), StrictLoader)
    found = [(title(each), part) for each, part in bootstraps(build)] + [*additions(build)]
    if not found:
        yield "nothing has stats_tags"
    for name, part in found:
        if part.get("stats_config") != example["stats_config"]:
            yield f"{name}: expected the stats_tags of envoy.yaml, found {part.get('stats_config')}"


def targets(build):
    """What a policy is for, and what a Gateway takes its parameters from, is in its own namespace."""
    for each in build.objects:
        wanted = [one for listed in values_of(each["spec"], "targetRefs") for one in listed] if "spec" in each else []
        if each["kind"] == "Gateway":
            wanted.append(each["spec"]["infrastructure"]["parametersRef"])
        for one in wanted:
            if not build.find(one["kind"], where(each)[0], one["name"]):
                yield f"{title(each)}: there is no {one['kind']} {one['name']} in {where(each)[0]}"


CHECKS = (secrets, mounts, selectors, variables, clusters, addresses, metric_labels, targets)


def faults(build):
    for check in CHECKS:
        for fault in check(build):
            yield f"{build.name}: {fault}"
