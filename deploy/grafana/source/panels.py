"""The kinds of panels, each with its title, unit, help and expressions.

In: what differs from panel to panel. Out: Grafana's JSON for it, all but its place. Invariant: every panel has its help and
unit, and asks the data source that the variable names.
"""

from promql import increase, metric, over

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GOOD, WARN, BAD, CALM = "green", "orange", "red", "blue"


def steps(*limits):
    """Thresholds: steps(GOOD, 30, WARN, 120, BAD) is green, orange from 30, red from 120."""
    found = [{"color": limits[0], "value": None}]
    found += [{"color": color, "value": value} for value, color in zip(limits[1::2], limits[2::2])]
    return {"mode": "absolute", "steps": found}


def queries(targets, shape="time_series", instant=False):
    """(expression, legend) pairs as Grafana's targets."""
    made = []
    for index, (expression, legend) in enumerate(targets):
        made.append({
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expression,
            "format": shape,
            "instant": instant,
            "legendFormat": legend,
            "range": not instant,
            "refId": chr(ord("A") + index),
        })
    return made


def panel(kind, height, title, unit, help_text, targets, options, *, thresholds=None, custom=None, **defaults):
    """Any panel; `height` in rows of Grafana's grid."""
    fields = {"color": {"mode": "palette-classic"}, "custom": custom or {}, "mappings": [], "unit": unit, **defaults}
    fields["thresholds"] = thresholds or steps(GOOD)
    return {
        "type": kind,
        "title": title,
        "description": help_text,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": fields, "overrides": []},
        "options": options,
        "targets": targets,
        "height": height,
    }


LAST = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def stat(title, unit, help_text, expression, thresholds, *, words=None, **defaults):
    """One number as it is now, and none where there is nobody to ask; with `words`, {value: (word, color)}, a state in colour."""
    options = {
        "colorMode": "background" if words else "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": LAST,
        "textMode": "auto",
        "wideLayout": True,
    }
    made = panel("stat", 4, title, unit, help_text, queries([(expression, title)], instant=True), options,
                 thresholds=thresholds, **defaults)
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    if words:
        shown = {str(value): {"text": word, "color": color} for value, (word, color) in words.items()}
        made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": shown}]
    return made


def graph(title, unit, help_text, *targets, stacked=False, bars=False, thresholds=None, legend="list", **defaults):
    """Lines over time; `stacked` adds them up, `bars` is for what happens rarely. Thresholds are drawn as lines."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 70 if bars else 30 if stacked else 8,
        "gradientMode": "none",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "pointSize": 4,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked or bars else "none"},
        "thresholdsStyle": {"mode": "dashed" if thresholds else "off"},
    }
    table = legend == "table"
    options = {
        "legend": {
            "calcs": ["mean", "max", "lastNotNull"] if table else [],
            "displayMode": legend,
            "placement": "right" if table else "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    limits = {"min": 0, **defaults}
    asked = queries(targets)
    return panel("timeseries", 8, title, unit, help_text, asked, options, thresholds=thresholds, custom=custom, **limits)


def heatmap(title, help_text, name, *matchers, unit="s"):
    """How a histogram's observations spread, over time."""
    counted = over("sum", increase(metric(name + "_bucket", *matchers)), "le")
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Turbo", "exponent": 0.5, "scale": "exponential", "steps": 64, "reverse": False},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    return panel("heatmap", 8, title, unit, help_text, queries([(counted, "{{le}}")], "heatmap"), options)


def bars(title, unit, help_text, *targets, thresholds, **defaults):
    """Horizontal bars of what is now."""
    options = {
        "displayMode": "basic",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": LAST,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }
    limits = {"min": 0, **defaults}
    asked = queries(targets, instant=True)
    made = panel("bargauge", 8, title, unit, help_text, asked, options, thresholds=thresholds, **limits)
    made["fieldConfig"]["defaults"]["color"] = {"mode": "thresholds"}
    return made


def table(title, unit, help_text, columns, *, sort, height=8):
    """What is now, a row for each set of labels; columns are {title: (expression, unit)}."""
    targets = queries([(expression, name) for name, (expression, _) in columns.items()], "table", instant=True)
    options = {
        "cellHeight": "sm",
        "footer": {"show": False},
        "showHeader": True,
        "sortBy": [{"desc": True, "displayName": sort}],
    }
    made = panel("table", height, title, unit, help_text, targets, options, custom={"align": "auto", "filterable": True})
    names = {f"Value #{target['refId']}": name for target, name in zip(targets, columns)}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": names}},
    ]
    made["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, (_, unit) in columns.items()
    ]
    return made
