"""The software bill of materials of the image's own part, as CycloneDX 1.6 in JSON.

    cargo metadata --locked --format-version 1 --filter-platform TARGET [--features …] | python3 deploy/sbom.py >sbom.json

In: what cargo resolved, on standard input; Cargo.lock, deploy/artifacts.sha256 and deploy/models.toml for the sums; set-up's cache folder. Out: every
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

    def component(place, licence, sha256, **rest):
        hashes = [{"alg": "SHA-256", "content": sha256}]
        return {"bom-ref": place, **rest, "licenses": [{"expression": licence}], "hashes": hashes}

    for line in (PROJECT / "deploy/artifacts.sha256").read_text().splitlines():
        sha256, place, *machine = line.split()
        if machine == [platform.machine()] and (cache / place).exists():
            version = place.split(".so.")[1]
            purl = f"pkg:pypi/onnxruntime@{version}"
            yield component(place, "MIT", sha256, type="library", name="onnxruntime", version=version, purl=purl)
    for model in tomllib.loads((PROJECT / "deploy/models.toml").read_text())["model"]:
        place = f"models/{model.get('file')}"
        if "file" in model and (cache / place).exists():
            yield component(place, model["licence"], model["sha256"], type="machine-learning-model", name=model["file"])


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
