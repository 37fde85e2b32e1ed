//! The librdkafka properties that the pipeline itself sets, and why nobody else may.
//!
//! Invariant: what is listed here is what the promises rest on; everything else in `[kafka.properties]` is the user's.

use super::GroupProtocol;

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
    ("group.protocol", "give kafka.group_protocol instead"),
    ("group.remote.assignor", "partitions move between processes in the way that the journal's takeover was tested with"),
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

/// What the broker says itself where it assigns the partitions (KIP-848).
const BROKERS: [(&str, &str); 3] = [
    ("group.protocol.type", "it belongs to the classic group protocol"),
    ("heartbeat.interval.ms", "the broker says it (group.consumer.heartbeat.interval.ms)"),
    ("session.timeout.ms", "the broker says it (group.consumer.session.timeout.ms)"),
];

/// Why `property` cannot be given under this protocol although the pipeline does not own it.
pub(super) fn why_the_brokers(property: &str, protocol: GroupProtocol) -> Option<&'static str> {
    let refused = BROKERS.iter().find(|(refused, _)| *refused == property && protocol == GroupProtocol::Consumer);
    refused.map(|(_, why)| *why)
}

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
        for (name, _) in OWNED.iter().chain(&BROKERS) {
            assert!(!is_unknown(name), "{name}");
        }
    }

    #[test]
    fn librdkafka_itself_refuses_what_is_the_brokers() {
        for (name, value) in
            [("group.protocol.type", "consumer"), ("heartbeat.interval.ms", "1000"), ("session.timeout.ms", "9000")]
        {
            assert!(why_the_brokers(name, GroupProtocol::Consumer).is_some());
            assert_eq!(why_the_brokers(name, GroupProtocol::Classic), None);
            let mut client = rdkafka::ClientConfig::new();
            client.set("group.id", "g").set("group.protocol", "consumer");
            let made = |client: &rdkafka::ClientConfig| client.create::<rdkafka::consumer::BaseConsumer>().is_ok();
            assert!(made(&client) && !made(client.set(name, value)), "{name}");
        }
    }
}
