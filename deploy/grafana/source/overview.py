"""Overview: is it keeping up, how fresh is the data, what fails. The first page of somebody who was woken."""

from page import dashboard
from panels import BAD, CALM, GOOD, WARN, graph, heatmap, stat, steps
from promql import grown, metric, over, partition, quantile, rate, share, total
from shared import since_newest_append

FAILED = 'status!~"ok|sampled_out|stale"'
BUSY = over("sum", rate(metric("busy_seconds_total", 'stage="work"')), "instance")

GLANCE = [
    stat(
        "Lag", "s",
        "How old the oldest work is: good is a few seconds; when it grows, look at the bottleneck on the Pipeline "
        "dashboard.",
        over("max", partition("lag_seconds")), steps(GOOD, 30, WARN, 120, BAD), min=0),
    stat(
        "Frames a second", "short",
        "Frames finished, whatever became of them: good follows what the cameras send; at zero with a lag, look at "
        "the log.",
        total("frames_total"), steps(CALM)),
    stat(
        "Busiest workers", "percentunit",
        "Share of its workers' time that the busiest process works: good is below 80 %; above, add workers or "
        "processes.",
        over("max", f"{BUSY} / {over('sum', metric('workers'), 'instance')}"), steps(GOOD, 0.8, WARN, 0.95, BAD), min=0, max=1),
    stat(
        "Ready processes", "none",
        "Processes that have joined the group and reach the store: good is all that you started; none means nobody "
        "works.",
        f"({over('sum', metric('ready') + ' * ' + metric('store_up'))}) or vector(0)", steps(BAD, 1, GOOD), min=0),
]

STATE = [
    since_newest_append(),
    stat(
        "Failed frames", "percentunit",
        "Share of frames without a result through their own or our fault: good is next to none; the graph below "
        "says which status.",
        share(total("frames_total", matchers=[FAILED]), total("frames_total")), steps(GOOD, 0.01, WARN, 0.05, BAD), min=0),
    stat(
        "Store", "none",
        "Whether every process reaches the store: good is up; when it fails nothing is lost, but all waits until it "
        "is back.",
        over("min", metric("store_up")), steps(BAD, 1, GOOD), words={0: ("failing", BAD), 1: ("up", GOOD)}),
    stat(
        "Stopped partitions", "none",
        "Partitions that stopped until a person decides: good is none; the log of the process says why and what to "
        "type.",
        over("sum", metric("partitions_stopped")), steps(GOOD, 1, BAD), min=0),
]

KEEPING_UP = [
    [
        graph(
            "In and out", "short",
            "Records read and frames finished a second: good is two lines as one; apart for long, frames wait or "
            "back-pressure holds.",
            (total("records_total"), "records read"), (total("frames_total"), "frames finished")),
        graph(
            "Lag by topic", "s",
            "Age of the work of each topic's worst partition: good is flat and low; a steady climb means more "
            "arrives than is done.",
            (over("max", partition("lag_seconds"), "topic"), "{{topic}}"), thresholds=steps(GOOD, 120, BAD)),
    ],
    [
        graph(
            "Records behind by topic", "short",
            "Records that Kafka has and that have no row yet: good is near zero; if it falls, the lag will go by "
            "itself.",
            (over("sum", partition("lag_records"), "topic"), "{{topic}}")),
        graph(
            "Workers' busy share by process", "percentunit",
            "Share of its workers' time that each process works: good is below 80 % and alike; one alone at the top "
            "has too many partitions.",
            (f"{BUSY} / {over('sum', metric('workers'), 'instance')}", "{{instance}}"),
            thresholds=steps(GOOD, 0.8, BAD), max=1),
    ],
]

FRESH = [
    [
        heatmap(
            "From event to detection",
            "How old frames are when their faces are known: good is one narrow band; a band that climbs is a lag, a "
            "second one a late camera.",
            "e2e_seconds", 'since="event"', 'until="detected"'),
        graph(
            "How old data is at each point, 99 %", "s",
            "Event time to detected, to durable and to visible in Parquet: good is seconds, append_every and roll_every; see "
            "Delivery if only the last grows.",
            (quantile(0.99, "e2e_seconds", "until", matchers=['since="event"']), "{{until}}")),
    ],
    [
        graph(
            "Watermark delay by topic", "s",
            "How far event time trails the clock: good is constant; growth without a lag means that a camera's "
            "clock or its upload is late.",
            (over("max", partition("watermark_delay_seconds"), "topic"), "{{topic}}")),
        graph(
            "From record to detection", "s",
            "Time since Kafka got the record, so that cameras' clocks play no part: good is below a second; more is "
            "waiting in Kafka or here.",
            (quantile(0.5, "e2e_seconds", matchers=['since="record"', 'until="detected"']), "50 %"),
            (quantile(0.99, "e2e_seconds", matchers=['since="record"', 'until="detected"']), "99 %")),
    ],
]

FAILING = [
    [
        graph(
            "Frames that were not ok, by status", "short",
            "Frames without a result: good is none; a status names its cause, and the frames table has each message "
            "with its error.",
            (grown("frames_total", "status", matchers=['status!="ok"']), "{{status}}"), bars=True),
        graph(
            "Dead letters by reason", "short",
            "Messages put aside with their bytes: good is none; facestream dlq ls shows them, facestream dlq retry "
            "sends them again.",
            (grown("dead_letters_total", "reason"), "{{reason}}"), bars=True),
    ],
    [
        graph(
            "Store errors by operation", "short",
            "Requests to the store that failed: good is none; they are tried again, and Delivery shows how long "
            "requests take.",
            (grown("store_errors_total", "operation"), "{{operation}}"), bars=True),
        graph(
            "Late and lost", "short",
            "Frames too late for their window, clocks not believed, records that Kafka deleted unread: good is none; lost ones "
            "need longer retention.",
            (grown("late_frames_total", "outcome"), "late, {{outcome}}"),
            (grown("clamped_frames_total"), "clock ahead"),
            (grown("lost_records_total"), "lost"), bars=True),
    ],
]

DASHBOARD = dashboard("Overview", "Is it keeping up, how fresh is the data, what fails?", [
    ("At a glance", [GLANCE, STATE]),
    ("Is it keeping up?", KEEPING_UP),
    ("How fresh is the data?", FRESH),
    ("What fails?", FAILING),
])
