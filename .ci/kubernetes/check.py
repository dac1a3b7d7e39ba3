"""Checks the manifests of envoy/kubernetes: `check.py PACKAGES SCRATCH`.

PACKAGES has the published schemas, SCRATCH is a directory that is made anew. Each overlay is built, as it is and
with every component; each object is held against the schema of its kind, and the objects against one another; and
what is in them for the filter, for Envoy and for the authority is given to these. What needs no cluster is run
(trial.py). ENVOY_BIN and PORTCULLIS_BIN name the programs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

import crosschecks
import mistakes
import trial
from manifests import ROOT, StrictLoader, additions, bootstrap_around, bootstraps, builds, plugins, title, values_of

# For the variables that the filter reads. Neither is a secret of anything.
ENVIRONMENT = {
    "PORTCULLIS_EDGE_CREDENTIAL": "not-a-real-credential",
    "PORTCULLIS_FEED_KEY": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


def run(command, **more):
    environment = os.environ | ENVIRONMENT
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, **more)


def schema_faults(packages, scratch, all_builds):
    entries = {}
    for build in all_builds:
        for each in build.objects:
            # Most are the same in many builds.
            entries.setdefault(json.dumps(each), {"name": f"{build.name}: {title(each)}", "object": each})
    path = scratch / "objects.json"
    path.write_text(json.dumps(list(entries.values())))
    done = run(["node", str(ROOT / ".ci/kubernetes/schemas.mjs"), str(packages), str(path)])
    if done.returncode not in (0, 1) or (done.returncode == 1 and not done.stdout):
        sys.exit(f"error: the schemas could not be asked: {done.stderr}")
    return done.stdout.splitlines(), len(entries)


def differences(all_builds):
    """The overlays say the same to the filter, but for what clusters are called."""
    told = {}
    for build in all_builds:
        for _, configuration, _ in plugins(build):
            copy = json.loads(json.dumps(configuration))
            for holder in [copy["revocation"], *values_of(copy, "http_uri")]:
                holder["cluster"] = "…"
            told.setdefault(json.dumps(copy, sort_keys=True), build.name)
    if len(told) > 1:
        yield f"the filter is configured in different ways by {', '.join(told.values())}"


def told_faults(scratch, build):
    """What `portcullis validate` says of a build, and of the files in its ConfigMaps."""
    directory = scratch / "told" / build.name.replace(" ", "-")
    directory.mkdir(parents=True)
    files = [directory / "built.yaml"]
    files[0].write_text(yaml.safe_dump_all(build.objects))
    for each in build.of("ConfigMap"):
        for name, text in each["data"].items():
            if "issuers" in yaml.load(text, StrictLoader):
                files.append(directory / name)
                files[-1].write_text(text)
    done = run([os.environ["PORTCULLIS_BIN"], "validate", "--deny-warnings", *map(str, files)])
    # Without this, a filter that was not found would be one without faults.
    if done.returncode == 0 and done.stdout.count("is valid") != len(files):
        yield f"{build.name}: expected {len(files)} valid files, found {done.stdout!r}"
    elif done.returncode != 0:
        yield f"{build.name}: portcullis validate: {done.stdout}{done.stderr}"


def converted_faults():
    """What migration.md shows as the result of `portcullis convert` is that."""
    page = (ROOT / "envoy/migration.md").read_text()
    before, after = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    done = run([os.environ["PORTCULLIS_BIN"], "convert", "-"], input=before)
    if done.returncode != 0 or done.stdout.strip() != after.strip():
        yield f"migration.md: expected what `portcullis convert` writes: {done.stdout}{done.stderr}"


def mounted(scratch, build, text):
    """A bootstrap as the edge's pod sees it: what that mounts is put into a directory, and found there."""
    root = scratch / "mounted" / build.name
    (pod,) = crosschecks.selected(build, None, {"portcullis-access": "edge"})
    paths = {mount["name"]: mount["mountPath"] for mount in pod.mounts()}

    def moved(words):
        pattern = "|".join(re.escape(path) + r"\b" for path in paths.values())
        return re.sub(pattern, lambda found: f"{root}{found.group()}", words) if paths else words

    for volume in pod.spec.get("volumes", []):
        directory = Path(f"{root}{paths[volume['name']]}")
        directory.mkdir(parents=True, exist_ok=True)
        if "image" in volume:
            shutil.copy(ROOT / "target/portcullis.wasm", directory / "plugin.wasm")
        elif "secret" in volume:
            for name in ("tls.crt", "tls.key", "ca.crt"):
                shutil.copy(scratch / name, directory / name)
        else:
            held = build.find("ConfigMap", pod.namespace, volume["configMap"]["name"])
            for name, words in held["data"].items():
                (directory / name).write_text(moved(words))
    return moved(text)


def envoy_faults(scratch, build):
    """What a real Envoy says of the bootstraps, and of each plugin configuration in a bootstrap around it."""
    texts = [yaml.safe_dump(bootstrap) for _, bootstrap in bootstraps(build)]
    if not texts:
        for _, configuration, seen in plugins(build):
            texts.append(yaml.safe_dump(bootstrap_around(configuration, seen)))
    added = [mounted(scratch, build, yaml.safe_dump(addition)) for _, addition in additions(build)]
    # As Istio does: Envoy merges it.
    more = [word for text in added for word in ("--config-yaml", text)]
    for number, text in enumerate(texts):
        path = scratch / f"bootstrap-{build.name}-{number}.yaml"
        path.write_text(mounted(scratch, build, text))
        done = run([os.environ["ENVOY_BIN"], "--mode", "validate", "--log-level", "error", "-c", str(path), *more])
        if done.returncode != 0:
            yield f"{build.name}: envoy --mode validate: {done.stdout}{done.stderr}"
    if not texts:
        yield f"{build.name}: there is nothing for an Envoy in it"


def main(packages, scratch):
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    all_builds = builds(scratch / "overlays")
    faults, count = schema_faults(packages, scratch, all_builds)
    for build in all_builds:
        faults += crosschecks.faults(build)
        faults += told_faults(scratch, build)
    faults += [*differences(all_builds), *converted_faults()]
    done = run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=gate", "-keyout", str(scratch / "tls.key"), "-out", str(scratch / "tls.crt")]
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"error: openssl made no certificate: {done.stderr}")
    shutil.copy(scratch / "tls.crt", scratch / "ca.crt")
    for build in all_builds:
        if "components" not in build.name:
            faults += envoy_faults(scratch, build)
    (plain,) = (build for build in all_builds if build.name == "plain-envoy")
    faults += trial.faults(plain, scratch / "trial", ROOT / "target/portcullis.wasm")
    faults += mistakes.unnoticed(all_builds, lambda changed: schema_faults(packages, scratch, changed)[0])
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    print(f"{len(all_builds)} builds, {count} objects, {len(mistakes.MISTAKES)} mistakes that were noticed")


main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
