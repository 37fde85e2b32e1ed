"""A dashboard around its panels: their places, variables, links, marks.

In: sections, each of lines of panels. Out: the JSON that Grafana 10 and later reads. Invariant: panels neither overlap nor
leave the grid; each dashboard has the same variables and links to the others, which keep what was chosen.
"""

from panels import DATASOURCE
from promql import MATCHERS, increase, metric, over


def placed(sections):
    """The panels of [(section, [line, ...]), ...]: a line's panels share the grid's 24 columns evenly."""
    made, y = [], 0
    for section, lines in sections:
        place = {"h": 1, "w": 24, "x": 0, "y": y}
        made.append({"type": "row", "title": section, "collapsed": False, "panels": [], "gridPos": place})
        y += 1
        for line in lines:
            width = 24 // len(line)
            height = max(found["height"] for found in line)
            for index, found in enumerate(line):
                place = {"h": height, "w": width, "x": index * width, "y": y}
                made.append({**{name: value for name, value in found.items() if name != "height"}, "gridPos": place})
            y += height
    return [{"id": index + 1, **found} for index, found in enumerate(made)]


def variable(name, query):
    return {
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": query,
        "hide": 0,
        "includeAll": True,
        "label": name.title(),
        "multi": True,
        "name": name,
        "options": [],
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


def variables():
    source = {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "type": "datasource",
    }
    return [
        source,
        variable("job", "label_values(facestream_build_info, job)"),
        variable("instance", 'label_values(facestream_build_info{job=~"$job"}, instance)'),
        variable("topic", f"label_values(facestream_lag_records{{{MATCHERS}}}, topic)"),
    ]


def rebalances():
    """Marks in every graph when partitions changed hands: most bends of a line have that reason."""
    moved = over("sum", increase(metric("rebalanced_partitions_total", 'what=~"revoked|lost"')), "instance")
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": f"{moved} > 0",
        "iconColor": "purple",
        "name": "Rebalances",
        "step": "30s",
        "textFormat": "partitions given up",
        "titleFormat": "{{instance}}",
    }


def dashboard(name, question, sections):
    builtin = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    others = {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": ["facestream"],
        "targetBlank": False,
        "title": "facestream",
        "type": "dashboards",
    }
    return {
        "uid": f"facestream-{name.lower()}",
        "title": f"facestream / {name}",
        "description": question,
        "tags": ["facestream"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "version": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "",
        "weekStart": "",
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "annotations": {"list": [builtin, rebalances()]},
        "links": [others],
        "templating": {"list": variables()},
        "panels": placed(sections),
    }
