"""The software bill of materials of the image's own part, as CycloneDX 1.6 in JSON.

    cargo metadata --locked --format-version 1 --filter-platform TARGET [--features …] | python3 deploy/sbom.py >sbom.json

In: what cargo resolved, on standard input; Cargo.lock and deploy/artifacts.sha256 for the sums; set-up's cache folder. Out: every
crate that is in the binary or helped to build it, with version, licence, sum and what it depends on. Debian's packages are not
listed here: scanners read them from the image's own /var/lib/dpkg. Invariant: the same input gives the same bytes.
"""

import json
import os
import pathlib
import platform
import re
import sys
import tomllib

PROJECT = pathlib.Path(__file__).resolve().parent.parent
ROOT = "facestream"


def linked(metadata):
    """The binary's own package; and all that it is made of, without what only tests need, each with the ids that it depends on."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    root = next(i for i in metadata["workspace_members"] if packages[i]["name"] == ROOT)
    found, todo = {}, [root]
    while todo:
        node = todo.pop()
        if node in found:
            continue
        found[node] = [d["pkg"] for d in nodes[node]["deps"] if any(kind["kind"] != "dev" for kind in d["dep_kinds"])]
        todo.extend(found[node])
    return packages[root], {i: (packages[i], deps) for i, deps in found.items()}


def licences(package):
    """An SPDX expression; older crates write a slash for OR."""
    if not package["license"]:
        return []
    return [{"expression": re.sub(r"\s*/\s*", " OR ", package["license"])}]


def crate(package, sums):
    """A crate as a component."""
    name, version = package["name"], package["version"]
    purl = f"pkg:cargo/{name}@{version}"
    component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if found := licences(package):
        component["licenses"] = found
    if (name, version) in sums:
        component["hashes"] = [{"alg": "SHA-256", "content": sums[name, version]}]
    return component


def artifacts():
    """ONNX Runtime's library and the models: the pins of this machine whose files set-up has fetched."""
    cache = pathlib.Path(os.environ.get("FACESTREAM_CACHE") or pathlib.Path.home() / ".cache/facestream")
    for line in (PROJECT / "deploy/artifacts.sha256").read_text().splitlines():
        words = line.split()
        is_elsewhere = words[2:] not in ([], [platform.machine()])
        if line.startswith("#") or is_elsewhere or not (cache / words[1]).exists():
            continue
        name = pathlib.PurePath(words[1]).name
        component = {"type": "machine-learning-model", "bom-ref": words[1], "name": name}
        if words[1].startswith("lib/"):
            version = name.split(".so.")[1]
            component = {"type": "library", "bom-ref": words[1], "name": "onnxruntime", "version": version}
            component["purl"] = f"pkg:pypi/onnxruntime@{version}"
        licence = "Apache-2.0" if "yunet" in name else "MIT"
        yield component | {"licenses": [{"expression": licence}], "hashes": [{"alg": "SHA-256", "content": words[0]}]}


def main():
    """From standard input to standard output."""
    metadata = json.load(sys.stdin)
    locked = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    sums = {(entry["name"], entry["version"]): entry["checksum"] for entry in locked if "checksum" in entry}
    root, packages = linked(metadata)
    ref = {i: crate(package, sums)["bom-ref"] for i, (package, _) in packages.items()}
    main_component = crate(root, sums) | {"type": "application"}
    others = sorted((crate(package, sums) for i, (package, _) in packages.items() if i != root["id"]), key=lambda c: c["bom-ref"])
    extras = list(artifacts())
    depends = [{"ref": ref[i], "dependsOn": sorted({ref[d] for d in deps})} for i, (_, deps) in packages.items()]
    next(d for d in depends if d["ref"] == main_component["bom-ref"])["dependsOn"] += [extra["bom-ref"] for extra in extras]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": main_component},
        "components": others + extras,
        "dependencies": sorted(depends, key=lambda d: d["ref"]),
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
