"""Fleet: the processes of the group, the partitions that they hold, and how these change hands."""

from page import dashboard
from panels import BAD, GOOD, WARN, bars, graph, stat, steps, table
from promql import grown, metric, over, partition, process, rate, total

INFO = "on (job, instance) group_left (version, detector) " + metric("build_info")
# Assigned partitions of the process with the most less those of the one with the fewest.
SPREAD = f"{over('max', metric('partitions_assigned'))} - {over('min', metric('partitions_assigned'))}"

GLANCE = [
    stat(
        "Processes", "none",
        "Processes that Prometheus reaches: good is all that you started; with fewer, see which target is down in "
        "Prometheus.",
        over("count", metric("build_info")), steps(BAD, 1, GOOD), min=0),
    stat(
        "Partitions held", "none",
        "Partitions that these processes hold together: good is all of the topics' partitions; fewer means a "
        "rebalance or missing processes.",
        over("sum", metric("partitions_assigned")), steps(BAD, 1, GOOD), min=0),
    stat(
        "Uneven by", "none",
        "Partitions of the fullest less those of the emptiest process: good is 0 or 1 a topic; more processes than "
        "partitions idle.",
        SPREAD, steps(GOOD, 2, WARN), min=0),
    stat(
        "Starts in this time", "none",
        "How often processes started again at the same address in the time shown: good is none; more are crashes, see "
        "the end of their logs.",
        over("sum", f"changes({process('start_time_seconds')}[$__range])"), steps(GOOD, 3, WARN, 10, BAD), min=0),
]

PROCESSES = [
    [
        table(
            "Processes", "none",
            "What each process is and uses now: good is one version, alike in everything; one that differs got more "
            "partitions or less machine.",
            {
                "running for": (f"(time() - {process('start_time_seconds')}) * {INFO}", "s"),
                "ready": (over("max", metric("ready"), "job", "instance"), "bool_yes_no"),
                "partitions": (over("sum", metric("partitions_assigned"), "job", "instance"), "none"),
                "frames a second": (total("frames_total", "job", "instance"), "short"),
                "processors": (over("sum", rate(process("cpu_seconds_total")), "job", "instance"), "short"),
                "memory": (over("sum", process("resident_memory_bytes"), "job", "instance"), "bytes"),
                "threads": (over("sum", process("threads"), "job", "instance"), "none"),
            },
            sort="running for"),
    ],
    [
        graph(
            "Frames a second, by process", "short",
            "How the work is shared: good is alike; a process at zero has no partitions, or its partitions have no "
            "frames.",
            (total("frames_total", "instance"), "{{instance}}"), stacked=True),
        graph(
            "Processors used, by process", "short",
            "Processor seconds a second: good is near the number of workers under load; less with a lag means that "
            "something else holds it up.",
            (over("sum", rate(process("cpu_seconds_total")), "instance"), "{{instance}}")),
    ],
    [
        graph(
            "Memory, by process", "bytes",
            "Resident memory: good is flat, models and both budgets together; steady growth is a leak, please "
            "report it.",
            (over("sum", process("resident_memory_bytes"), "instance"), "{{instance}}")),
        graph(
            "Open files, by process", "percentunit",
            "Share of the file descriptors that a process may open: good is below half; near 100 % raise the limit, "
            "or connections fail.",
            (f"{over('sum', process('open_fds'), 'instance')} / {over('sum', process('max_fds'), 'instance')}", "{{instance}}"),
            max=1),
    ],
]

PARTITIONS = [
    [
        bars(
            "The partitions furthest behind", "s",
            "Lag of the fifteen worst partitions: good is low and alike; one far ahead of the others is skew, so "
            "spread its cameras' keys.",
            (f"topk(15, {over('max', partition('lag_seconds'), 'topic', 'partition')})", "{{topic}} / {{partition}}"),
            thresholds=steps(GOOD, 30, WARN, 120, BAD)),
        table(
            "Partitions", "none",
            "Each partition and who holds it: good is a low lag and one owner each; sort by a column to find the "
            "odd one.",
            {
                "records behind": (over("max", partition("lag_records"), "instance", "topic", "partition"), "short"),
                "lag": (over("max", partition("lag_seconds"), "instance", "topic", "partition"), "s"),
                "watermark delay": (over("max", partition("watermark_delay_seconds"), "instance", "topic", "partition"), "s"),
                "committed offset": (over("max", partition("committed_offset"), "instance", "topic", "partition"), "none"),
            },
            sort="records behind"),
    ],
    [
        graph(
            "Partitions held, by process", "none",
            "How many partitions each process holds: good is even and changes with deployments only; steps without "
            "one are lost sessions.",
            (over("sum", metric("partitions_assigned"), "instance"), "{{instance}}"), stacked=True),
        graph(
            "Partitions that do not move", "none",
            "Partitions stopped by an error and those paused, by reason: good is none; a stopped one needs a "
            "person, its log says what to type.",
            (over("sum", metric("partitions_stopped")), "stopped"),
            (over("sum", metric("partitions_paused"), "reason"), "paused: {{reason}}")),
        graph(
            "Cameras", "none",
            "Sources that send and that went silent: good is all active; silent ones are listed by /status and on "
            "the live page.",
            (over("sum", metric("sources"), "state"), "{{state}}"), stacked=True),
    ],
]

REBALANCES = [
    [
        graph(
            "Partitions that changed hands", "short",
            "Partitions assigned, revoked and lost: good is a few at deployments; lost ones mean that a process did "
            "not answer in time.",
            (grown("rebalanced_partitions_total", "what"), "{{what}}"), bars=True),
        graph(
            "Takeovers and fences, by process", "short",
            "Journals opened, and journals taken away: good is takeovers after rebalances only; fences again and again are two "
            "processes that both think they own a partition.",
            (grown("append_seconds_count", "instance", matchers=['kind="takeover"']), "takeover, {{instance}}"),
            (grown("fenced_total", "instance"), "fenced, {{instance}}"), bars=True),
    ],
    [
        graph(
            "Starts, by process", "none",
            "When each process last started, as time that it has run: good is lines that climb; a saw-tooth is a "
            "crash loop.",
            (f"time() - {over('max', process('start_time_seconds'), 'instance')}", "{{instance}}")),
        graph(
            "Records lost to retention", "short",
            "Records that Kafka deleted before their turn, skipped by kafka.on_gap: good is none; keep them longer "
            "or catch up sooner.",
            (grown("lost_records_total"), "lost"), bars=True),
    ],
]

DASHBOARD = dashboard("Fleet", "Which processes are there, who holds which partition, and why do they change hands?", [
    ("At a glance", [GLANCE]),
    ("Processes", PROCESSES),
    ("Partitions", PARTITIONS),
    ("Rebalances", REBALANCES),
])
