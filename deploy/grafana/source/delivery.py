"""Delivery: from rows to the journal, to Parquet files, to the store; and what others are told."""

from page import dashboard
from panels import BAD, CALM, GOOD, WARN, graph, heatmap, stat, steps
from promql import grown, mean, over, partition, quantile, rate, share, total
from shared import since_newest_append

REQUESTS = total("store_seconds_count")

GLANCE = [
    since_newest_append(),
    stat(
        "Append, 99 %", "s",
        "Time until an append is won: good is below a second; above ten it is tried again, so look at the store's "
        "latency.",
        quantile(0.99, "append_seconds"), steps(GOOD, 2, WARN, 10, BAD), min=0),
    stat(
        "Failed requests", "percentunit",
        "Share of requests to the store that failed: good is none; single ones are tried again, many need the "
        "store's own monitoring.",
        share(total("store_errors_total"), REQUESTS), steps(GOOD, 0.01, WARN, 0.05, BAD), min=0),
    stat(
        "Requests a day, at this rate", "short",
        "What the store would bill for: good is what the sizing guide says; a longer journal.append_every makes it "
        "less.",
        f"{REQUESTS} * 86400", steps(CALM), min=0),
]

JOURNAL = [
    [
        graph(
            "Appends, by kind", "short",
            "Records appended a second: good is one of rows a partition and append_every; takeovers come with "
            "rebalances only.",
            (total("append_seconds_count", "kind"), "{{kind}}"), stacked=True),
        heatmap(
            "Time of an append with rows",
            "How long appends with rows take: good is one band below a second; a rising band is a slow store, and "
            "lag follows.",
            "append_seconds", 'kind="rows"'),
    ],
    [
        graph(
            "Mean size of an append, by kind", "bytes",
            "Bytes of an appended record: good is kilobytes to a few megabytes; tiny ones cost requests, so append "
            "less often.",
            (mean("append_bytes", "kind"), "{{kind}}")),
        graph(
            "Fenced, and old records collected", "short",
            "Partitions that another process took over, and records past journal.retention: good is no fences "
            "outside of rebalances.",
            (grown("fenced_total"), "fenced"), (grown("collected_records_total"), "collected"), bars=True),
    ],
    [
        graph(
            "Time to commit to Kafka", "s",
            "How long commits of offsets take: good is milliseconds; they are advice to lag tools only, so slow "
            "ones lose nothing.",
            (quantile(0.5, "commit_seconds"), "50 %"), (quantile(0.99, "commit_seconds"), "99 %")),
        graph(
            "Committed records a second, by topic", "short",
            "How fast committed offsets move: good follows the frames finished; flat with frames finished means "
            "that commits fail.",
            (over("sum", f"deriv({partition('committed_offset')}[$__rate_interval])", "topic"), "{{topic}}"),
            (total("commit_errors_total"), "failed commits")),
    ],
]

FILES = [
    [
        graph(
            "Files published, by table", "short",
            "Parquet files made visible: good is few and large; many small ones slow queries down, so raise "
            "parquet.roll_every.",
            (grown("files_total", "table"), "{{table}}"), bars=True),
        graph(
            "Why files were rolled", "short",
            "Seals by what made them due: good is size, age or hour; many shutdowns or recoveries mean restarts.",
            (grown("seals_total", "reason"), "{{reason}}"),
            (grown("files_total", matchers=['reason="recovery"']), "files of recoveries"), bars=True),
    ],
    [
        graph(
            "Mean size of a file, by table", "bytes",
            "Bytes of a file: good is megabytes for frames; where it is less, roll more rarely or use fewer "
            "partitions.",
            (mean("file_bytes", "table"), "{{table}}")),
        graph(
            "Rows published, by table", "short",
            "Rows that became visible a second: good follows the frames in steps of roll_every; flat with seals "
            "means that publishing fails.",
            (total("rows_total", "table"), "{{table}}")),
    ],
    [
        graph(
            "Time to publish a seal", "s",
            "How long reading back, encoding and uploading takes: good is seconds; a partition appends nothing "
            "meanwhile, so minutes make lag.",
            (quantile(0.5, "publish_seconds"), "50 %"), (quantile(0.99, "publish_seconds"), "99 %")),
        graph(
            "Mean size of a seal", "bytes",
            "Bytes of journal that a seal covers: good is near parquet.roll_bytes; far less means that age or hour "
            "rolls first.",
            (mean("seal_bytes"), "journal bytes a seal")),
    ],
    [
        heatmap(
            "From event to visible in Parquet",
            "How old rows are when queries see them: good is up to parquet.roll_every; older means that publishing "
            "waits or fails.",
            "e2e_seconds", 'since="event"', 'until="visible"'),
        graph(
            "Watermark delay by topic", "s",
            "How far event time trails the clock, and with it windows: good is constant; growth holds windows back.",
            (over("max", partition("watermark_delay_seconds"), "topic"), "{{topic}}")),
    ],
]

STORE = [
    [
        graph(
            "Requests a second, by operation", "short",
            "Requests to the store: good is steady; appends are one a partition and append_every, the rest comes "
            "with seals and rebalances.",
            (total("store_seconds_count", "operation"), "{{operation}}"), stacked=True),
        graph(
            "Time of a request, 99 % by operation", "s",
            "How long requests take: good is below a second; near ten appends time out and are asked about again.",
            (quantile(0.99, "store_seconds", "operation"), "{{operation}}")),
    ],
    [
        graph(
            "Failed requests, by operation", "short",
            "Requests that failed: good is none; a few are weather, many of one operation are a permission or a quota.",
            (grown("store_errors_total", "operation"), "{{operation}}"), bars=True),
        graph(
            "Retries, by operation", "short",
            "Requests that were sent again: good is few; many mean that the store throttles, so append and roll "
            "less often.",
            (grown("store_retries_total", "operation"), "{{operation}}"), bars=True),
    ],
]

OUTPUTS = [
    [
        graph(
            "Messages to others, by output", "short",
            "Events, windows and dead letters acknowledged a second: good follows the frames; flat means that the "
            "topic does not take them.",
            (total("events_total", "topic"), "{{topic}}")),
        graph(
            "Messages not taken, by output", "short",
            "Messages that an output topic refused or did not acknowledge: good is none; appends wait for them, so "
            "mend that topic first.",
            (grown("produce_errors_total", "topic"), "{{topic}}"), bars=True),
    ],
    [
        graph(
            "Time until a message is acknowledged", "s",
            "How long output topics take: good is milliseconds; appends wait for it, so slow brokers slow the "
            "journal down.",
            (quantile(0.5, "produce_seconds"), "50 %"), (quantile(0.99, "produce_seconds"), "99 %")),
        graph(
            "Windows closed", "short",
            "Windows by what closed them, and those told again: good is mostly watermark; many idle ones are "
            "cameras that went silent.",
            (total("windows_total", "closed_by"), "closed by {{closed_by}}"), (total("revised_windows_total"), "revised")),
    ],
    [
        graph(
            "Messages given up, by output", "short",
            "Messages larger than their topic takes, which nobody will get: good is none; raise that topic's "
            "max.message.bytes.",
            (grown("given_up_messages_total", "topic"), "{{topic}}"), bars=True),
        graph(
            "Annotated pictures", "short",
            "Pictures for people a second, with annotate.what: good follows the frames that are ok; failed ones were "
            "not sent, and the log says why.",
            (total("annotated_pictures_total", "outcome"), "{{outcome}}"), (total("kept_pictures_total"), "kept in annotate.store"),
            (total("keep_errors_total"), "attempts to keep one that failed")),
    ],
]

DASHBOARD = dashboard("Delivery", "Do rows reach the journal, files and other topics, and at what cost?", [
    ("At a glance", [GLANCE]),
    ("Journal", JOURNAL),
    ("Files", FILES),
    ("Store", STORE),
    ("Output topics", OUTPUTS),
])
