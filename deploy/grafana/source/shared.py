"""Panels that stand on more than one dashboard."""

from panels import BAD, GOOD, WARN, stat, steps
from promql import metric, over


def since_newest_append():
    """How fresh the journal is."""
    return stat(
        "Since the newest append", "s",
        "Time since rows were last made durable: good is journal.append_every while frames come; longer means a "
        "store or output topic fails.",
        f"time() - {over('max', metric('last_append_timestamp_seconds') + ' > 0')}", steps(GOOD, 60, WARN, 300, BAD), min=0)
