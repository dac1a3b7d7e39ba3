"""Lists what is compiled into the program or into the filter, and under which licences, with their texts.

Called as `licences.py TARGET…`, in the directory of Cargo.toml, with the Rust targets that are shipped. What
is listed is what Cargo.lock has for them. A package without a licence is an error; one that comes without the
text of its licence is named on standard error, and in the list.
"""

import json
import subprocess
import sys
from pathlib import Path

NAMES = ("licen[cs]e*", "LICEN[CS]E*", "COPYING*", "NOTICE*", "UNLICENSE*")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def compiled_in(target):
    """The packages that the product needs when it runs, those of this repository left out."""
    # `metadata` knows where packages are, but not which features are on without those of the tests.
    tree = cargo("tree", "--locked", "--target", target, "--edges", "normal", "--prefix", "none", "--format", "{p}")
    names = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    found = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = [it for it in found["packages"] if (it["name"], f"v{it['version']}") in names]
    if len(packages) != len(names):
        sys.exit(f"expected {len(names)} packages, found {len(packages)}")
    return [package for package in packages if package["source"]]


def texts(package):
    directory = Path(package["manifest_path"]).parent
    paths = {path for name in NAMES for path in directory.glob(name) if path.is_file()}
    return [path.read_text(errors="replace").strip() for path in sorted(paths)]


def main(targets):
    if not targets:
        sys.exit("expected `licences.py TARGET…`")
    packages = {package["id"]: package for target in targets for package in compiled_in(target)}
    # One text for all that differ in nothing but white space.
    users, shown = {}, {}
    print("Portcullis is under the Apache License 2.0. It has these packages of others in it:\n")
    for package in sorted(packages.values(), key=lambda it: (it["name"], it["version"])):
        name, licence = f"{package['name']} {package['version']}", package["license"] or package["license_file"]
        if not licence:
            sys.exit(f"{name}: expected a licence, found none")
        own = texts(package)
        print(f"{name}: {licence}" if own else f"{name}: {licence} (the package has no text of it)")
        if not own:
            print(f"licences.py: {name}: the package has no text of {licence}", file=sys.stderr)
        for text in own:
            words = " ".join(text.split())
            shown.setdefault(words, text)
            users.setdefault(words, []).append(name)
    for words, names in sorted(users.items(), key=lambda it: it[1]):
        print(f"\n{'-' * 80}\n{', '.join(names)}\n{'-' * 80}\n\n{shown[words]}")


if __name__ == "__main__":
    main(sys.argv[1:])
