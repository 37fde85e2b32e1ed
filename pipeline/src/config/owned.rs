//! The librdkafka properties that the pipeline itself sets, and why nobody else may.
//!
//! Invariant: what is listed here is what the promises rest on; everything else in `[kafka.properties]` is the user's.

const COMMITS: &str = "offsets are committed after the journal's append, never by librdkafka";
const MEMORY: &str = "librdkafka's queue is part of the memory budget workers.in_flight";
const EVENTS: &str = "the pipeline listens to librdkafka's events itself";
const PRODUCER: &str = "a frame counts as produced when all in-sync replicas have it, once";

const OWNED: [(&str, &str); 28] = [
    ("acks", PRODUCER),
    ("auto.commit.enable", COMMITS),
    ("auto.commit.interval.ms", COMMITS),
    ("auto.offset.reset", "kafka.start says where to begin, and a gap must stop a partition, not be skipped"),
    ("bootstrap.servers", "give kafka.brokers instead"),
    ("enable.auto.commit", COMMITS),
    ("enable.auto.offset.store", COMMITS),
    ("enable.idempotence", PRODUCER),
    ("enable.partition.eof", EVENTS),
    ("enabled_events", EVENTS),
    ("fetch.max.bytes", MEMORY),
    ("fetch.message.max.bytes", MEMORY),
    ("fetch.queue.backoff.ms", MEMORY),
    ("group.id", "give kafka.group instead"),
    ("group.instance.id", "an instance that left must give up its partitions at once"),
    ("group.protocol", "only the classic protocol is supported"),
    ("group.remote.assignor", "only the classic protocol is supported"),
    ("isolation.level", "aborted frames must not be consumed"),
    ("max.partition.fetch.bytes", MEMORY),
    ("metadata.broker.list", "give kafka.brokers instead"),
    ("offset.store.method", COMMITS),
    ("offset.store.path", COMMITS),
    ("partition.assignment.strategy", "partitions move between processes in the way that the journal's takeover was tested with"),
    ("queued.max.messages.kbytes", MEMORY),
    ("request.required.acks", PRODUCER),
    ("statistics.interval.ms", EVENTS),
    ("topic.blacklist", "kafka.topics says which topics are read"),
    ("transactional.id", "exactly-once comes from the journal"),
];

/// Why the pipeline owns `property`, if it does.
pub(super) fn why_owned(property: &str) -> Option<&'static str> {
    if property.ends_with("_cb") || property == "opaque" {
        return Some(EVENTS);
    }
    OWNED.iter().find(|(owned, _)| *owned == property).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_promises_rest_on_is_owned_and_access_is_not() {
        for owned in ["enable.auto.commit", "auto.offset.reset", "isolation.level", "rebalance_cb"] {
            assert!(why_owned(owned).is_some(), "{owned}");
        }
        for free in ["sasl.password", "security.protocol", "session.timeout.ms", "max.poll.interval.ms", "client.id"] {
            assert_eq!(why_owned(free), None, "{free}");
        }
    }

    #[test]
    fn every_owned_property_is_one_that_librdkafka_knows() {
        let is_unknown = |name: &str| {
            let refused = rdkafka::ClientConfig::new().set(name, "\u{1}nonsense").create_native_config().err();
            refused.is_some_and(|error| error.to_string().contains("No such configuration property"))
        };
        assert!(is_unknown("no.such.property"));
        for (name, _) in OWNED {
            assert!(!is_unknown(name), "{name}");
        }
    }
}
