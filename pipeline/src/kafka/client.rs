//! librdkafka's settings: the user's properties, and on top of them what the pipeline's promises rest on.

use rdkafka::ClientConfig;

use crate::config::{GroupProtocol, Kafka};

/// What librdkafka may prefetch, in KiB; counts into the budget `workers.in_flight`.
pub const QUEUE_KIB: u64 = 16_384;

/// How soon partitions that were added to a topic are noticed; librdkafka's default is 5 minutes.
const METADATA_REFRESH: &str = "topic.metadata.refresh.interval.ms";

/// Settings of the consumer.
#[must_use]
pub fn consumer(kafka: &Kafka) -> ClientConfig {
    let mut client = base(kafka);
    client
        .set("group.id", &kafka.group)
        // The journal decides what was consumed; commits are advice and made after the append.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A position that Kafka no longer has must stop the partition, never be skipped.
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("queued.max.messages.kbytes", QUEUE_KIB.to_string())
        .set("fetch.max.bytes", "16777216")
        .set("fetch.queue.backoff.ms", "50")
        .set("enable.partition.eof", "false")
        .set("statistics.interval.ms", "1000");
    match kafka.group_protocol {
        GroupProtocol::Classic => client.set("partition.assignment.strategy", "cooperative-sticky"),
        // The broker assigns, and says how long sessions last.
        GroupProtocol::Consumer => client.set("group.protocol", "consumer"),
    };
    if !kafka.properties.contains_key(METADATA_REFRESH) {
        client.set(METADATA_REFRESH, "30000");
    }
    client
}

/// Settings of a producer of messages up to `most_bytes`: each is acknowledged by all in-sync replicas, once. Of the user's
/// properties those that concern a consumer alone are left out: librdkafka warns of them.
#[must_use]
pub fn producer(kafka: &Kafka, brokers: &str, most_bytes: u64) -> ClientConfig {
    const SHARED: [&str; 14] = [
        "security.",
        "sasl.",
        "ssl.",
        "enable.s",
        "https.",
        "socket.",
        "client.",
        "broker.",
        "reconnect.",
        "retry.",
        "metadata.",
        "compression.",
        "linger.",
        "batch.",
    ];
    let mut client = ClientConfig::new();
    client.set("message.max.bytes", most_bytes.to_string());
    for (name, value) in kafka.properties.iter() {
        if SHARED.iter().any(|prefix| name.starts_with(prefix)) || name == "message.max.bytes" {
            client.set(name, value);
        }
    }
    client.set("bootstrap.servers", brokers).set("acks", "all").set("enable.idempotence", "true");
    client
}

/// Settings that consumers, producers and admin clients share: brokers and access.
#[must_use]
pub fn base(kafka: &Kafka) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in kafka.properties.iter() {
        client.set(name, value);
    }
    client.set("bootstrap.servers", &kafka.brokers);
    client
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn access_is_passed_on_and_what_only_a_consumer_understands_is_not() {
        let mut config = Config::default();
        let given =
            [("security.protocol", "ssl"), ("enable.ssl.certificate.verification", "false"), ("session.timeout.ms", "9000")];
        config.kafka.properties = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let client = producer(&config.kafka, "broker:1", 1_000_000);
        assert_eq!(client.get("security.protocol"), Some("ssl"));
        assert_eq!(client.get("enable.ssl.certificate.verification"), Some("false"));
        assert_eq!(client.get("session.timeout.ms"), None);
        assert_eq!((client.get("acks"), client.get("bootstrap.servers")), (Some("all"), Some("broker:1")));
    }
}
