"""Pipeline: where a frame's time goes, and which stage is the bottleneck."""

from page import dashboard
from panels import BAD, GOOD, WARN, bars, graph, heatmap, steps
from promql import grown, mean, metric, over, partition, process, quantile, rate, share, total

PROCESSES = over("count", metric("workers"))


def busy(stage):
    return total("busy_seconds_total", matchers=[f'stage="{stage}"'])


BOTTLENECK = [
    [
        bars(
            "How full each stage is", "percentunit",
            "Busy share of the threads or tasks that a stage has: the fullest is the bottleneck; above 90 % add "
            "workers, processes or partitions.",
            (share(busy("poll"), PROCESSES), "poll: one thread a process"),
            (share(busy("work"), over("sum", metric("workers"))), "work: decode and detect"),
            (share(busy("append"), over("sum", metric("partitions_assigned"))), "append: one at a time a partition"),
            (share(busy("publish"), f"(2 * {PROCESSES})"), "publish: two at a time a process"),
            thresholds=steps(GOOD, 0.7, WARN, 0.9, BAD), max=1),
        graph(
            "Threads and tasks at work, by stage", "short",
            "How many work at a time on average: good leaves room below the number of workers; what is flat at its "
            "limit is the bottleneck.",
            (total("busy_seconds_total", "stage"), "{{stage}}")),
    ],
    [
        graph(
            "Waiting for the next stage, by stage", "short",
            "Threads and tasks held up by what follows: good is near zero; poll waits for memory, work for lanes, "
            "append for output topics.",
            (total("blocked_seconds_total", "stage"), "{{stage}}")),
        graph(
            "Queues, by the stage that they wait for", "short",
            "Frames that wait for a fetch or a worker, rows that wait for their append: good rises and falls; the "
            "full one is before the bottleneck.",
            (over("sum", metric("queue_depth"), "stage"), "{{stage}}")),
    ],
]

TIME = [
    [
        graph(
            "Mean time of a frame, by stage", "s",
            "Where a frame's time goes, added up: good is mostly detect; much queue means too few workers, much "
            "fetch a slow host.",
            (mean("stage_seconds", "stage"), "{{stage}}"), stacked=True),
        graph(
            "Slow frames, 99 % by stage", "s",
            "The time that one of a hundred frames exceeds: good is a small multiple of the mean; far more means "
            "large pictures or a busy machine.",
            (quantile(0.99, "stage_seconds", "stage"), "{{stage}}")),
    ],
    [
        heatmap(
            "Time in the queue",
            "How long frames wait for a worker: good is the lowest band; a cloud higher up means that workers are "
            "short.",
            "stage_seconds", 'stage="queue"'),
        heatmap(
            "Time to decode",
            "How long decoding takes: good is one band; a second one is a second size or format of pictures, so see "
            "to the cameras' settings.",
            "stage_seconds", 'stage="decode"'),
        heatmap(
            "Time to detect",
            "How long detection takes: good is one narrow band; if it widens, something else takes the processor's "
            "time.",
            "stage_seconds", 'stage="detect"'),
    ],
]

PRESSURE = [
    [
        graph(
            "Waiting for room, by budget", "percentunit",
            "Share of its time that the worst process polls nothing: in_flight full is normal while it catches "
            "up; pending_rows full means a slow store.",
            (over("max", rate(metric("backpressure_seconds_total")), "budget"), "{{budget}}"),
            thresholds=steps(GOOD, 0.9, BAD)),
        graph(
            "Memory of the budgets", "percentunit",
            "Used share of each budget in the fullest process: good is below 75 %, where polling stops; raise "
            "workers.in_flight or pending_rows.",
            (over("max", f"{metric('budget_bytes')} / {metric('budget_limit_bytes')}", "budget"), "{{budget}}"), max=1),
    ],
    [
        graph(
            "Paused partitions, by reason", "short",
            "Partitions that are not read for now: good is none; memory means that the store or the workers are far "
            "behind, fetch a slow host.",
            (over("sum", metric("partitions_paused"), "reason"), "{{reason}}")),
        graph(
            "Lag by topic", "s",
            "Age of the work of each topic's worst partition: good is flat and low; compare with what is above to "
            "see what holds it up.",
            (over("max", partition("lag_seconds"), "topic"), "{{topic}}"), thresholds=steps(GOOD, 120, BAD)),
    ],
]

INPUT = [
    [
        graph(
            "Bytes read from Kafka", "Bps",
            "Bytes of messages a second: good follows the cameras; at the network's limit, smaller pictures help "
            "more than processors.",
            (total("record_bytes_total"), "messages"), (total("fetched_bytes_total"), "fetched pictures")),
        graph(
            "Mean size of a message, by status", "bytes",
            "Size of a message by what became of its frame: good is steady; a jump is a camera's new setting, and "
            "costs decoding time.",
            (f"{total('frame_bytes_total', 'status')} / ({total('frames_total', 'status')} > 0)", "{{status}}")),
    ],
    [
        graph(
            "Fetches by outcome", "short",
            "Pictures fetched from their address: good is ok alone; retry and fetch_error are the host's, "
            "fetch_refused is not in fetch.allow.",
            (total("fetches_total", "outcome"), "{{outcome}}"), stacked=True),
        graph(
            "Faces a frame", "short",
            "Faces found in a frame on average: good is what your cameras see; a fall to zero is a turned, dark or "
            "covered camera.",
            (share(total("faces_total"), total("frames_total", matchers=['status="ok"'])), "faces a frame")),
    ],
]

COST = [
    [
        graph(
            "Processor time a frame", "s",
            "Processor seconds for each frame: good is steady at what facestream bench says; growth means larger "
            "pictures or a slower machine.",
            (share(over("sum", rate(process("cpu_seconds_total"))), total("frames_total")), "a frame")),
        graph(
            "Live page", "short",
            "Viewers of the live page and pictures drawn for them a second: good is few; many viewers cost workers' "
            "time, so close what nobody reads.",
            (over("sum", metric("live_viewers")), "viewers"), (total("live_images_total"), "pictures a second")),
        graph(
            "Worker panics", "short",
            "Frames over which a worker failed and was rebuilt: good is none; the frames table has them as "
            "internal_error, please report them.",
            (grown("worker_panics_total"), "panics"), bars=True),
    ],
]

DASHBOARD = dashboard("Pipeline", "Where does the time go, and which stage is the bottleneck?", [
    ("Which stage is the bottleneck?", BOTTLENECK),
    ("Where does a frame's time go?", TIME),
    ("Back-pressure and memory", PRESSURE),
    ("What comes in", INPUT),
    ("What it costs", COST),
])
