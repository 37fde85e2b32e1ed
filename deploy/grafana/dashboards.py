#!/usr/bin/env python3
"""Writes the Grafana dashboards: what is in them lies in source/, what Grafana reads in dashboards/.

    dashboards.py          writes dashboards/*.json
    dashboards.py --check  writes nothing; says which file differs from its source, with exit code 1

In: source/, a file for each dashboard, and panels.py, promql.py and page.py, what they are made of. Out: a JSON file for each.
Invariant: nothing but this script writes those files, and it writes the same bytes every time.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "source"))

import delivery  # noqa: E402
import fleet  # noqa: E402
import overview  # noqa: E402
import pipeline  # noqa: E402

DASHBOARDS = (overview.DASHBOARD, pipeline.DASHBOARD, delivery.DASHBOARD, fleet.DASHBOARD)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    folder = HERE / "dashboards"
    wanted = {folder / f"{found['uid']}.json": json.dumps(found, indent=2) + "\n" for found in DASHBOARDS}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    stray = [path for path in folder.glob("*.json") if path not in wanted]
    if not arguments:
        folder.mkdir(exist_ok=True)
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
        for path in stray:
            path.unlink()
        return 0
    for path in stale + stray:
        print(f"{path} is not what deploy/grafana/source says: run deploy/grafana/dashboards.py", file=sys.stderr)
    return 1 if stale + stray else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
