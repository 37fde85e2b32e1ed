"""PromQL, put together: metrics of the chosen processes, and what is made of them.

In: names, labels, matchers. Out: expressions. Invariant: every selector has the matchers of the variables job and instance,
every rate the range $__rate_interval.
"""

MATCHERS = 'job=~"$job", instance=~"$instance"'


def metric(name, *matchers, prefix="facestream_"):
    """A metric of the processes that the variables choose."""
    return f"{prefix}{name}{{{', '.join([MATCHERS, *matchers])}}}"


def partition(name):
    """A metric of the partitions of the topics that the variable chooses."""
    return metric(name, 'topic=~"$topic"')


def process(name):
    """A metric that every Prometheus client has."""
    return metric(name, prefix="process_")


def rate(selector):
    return f"rate({selector}[$__rate_interval])"


def increase(selector):
    return f"increase({selector}[$__rate_interval])"


def over(function, expression, *by):
    """An aggregation: over("sum", x, "topic") is sum by (topic) (x)."""
    return f"{function} by ({', '.join(by)}) ({expression})" if by else f"{function}({expression})"


def total(name, *by, matchers=()):
    """How much a counter grows a second."""
    return over("sum", rate(metric(name, *matchers)), *by)


def grown(name, *by, matchers=()):
    """How much a counter grows in a step of the graph: for what happens rarely."""
    return over("sum", increase(metric(name, *matchers)), *by)


def quantile(of, name, *by, matchers=()):
    return f"histogram_quantile({of}, {over('sum', rate(metric(name + '_bucket', *matchers)), 'le', *by)})"


def mean(name, *by, matchers=()):
    return f"{total(name + '_sum', *by, matchers=matchers)} / {total(name + '_count', *by, matchers=matchers)}"


def share(part, whole):
    """part / whole, and 0 where there is nothing at all."""
    return f"{part} / clamp_min({whole}, 1e-9)"
