//! The Kafka part of `facestream check`: brokers, topics, consumer group; what is written to is `outputs`.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;

use super::{Finding, outputs};
use crate::config::{Config, Kafka};
use crate::kafka::silence::{Heard, listen, telling};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What Kafka says about the configured brokers, topics, outputs and group; the later need the earlier.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let kafka = &config.kafka;
    let client = client(kafka);
    let consumer: BaseConsumer<Heard> = match telling(client.clone()).create_with_context(Heard::default()) {
        Ok(consumer) => consumer,
        Err(error) => return vec![Finding::wrong("kafka", format!("{error}: see [kafka.properties]")).with_code(2)],
    };
    let Ok(metadata) = consumer.fetch_metadata(None, TIMEOUT) else {
        listen(&consumer);
        let silence = consumer.context().silence(kafka, &kafka.brokers);
        let code = if silence.is_refusal() { 2 } else { 1 };
        return vec![Finding::wrong("kafka", silence.to_string()).with_code(code)];
    };
    let cluster = consumer.client().fetch_cluster_id(TIMEOUT).unwrap_or_else(|| "unknown".to_owned());
    let brokers = metadata.brokers().len();
    let mut findings = vec![Finding::fine("kafka", format!("{brokers} brokers at {}, cluster {cluster}", kafka.brokers))];
    findings.extend(kafka.topics.iter().map(|name| {
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        match topic.map(|topic| (topic.partitions().len(), topic.error())) {
            Some((partitions, None)) if partitions > 0 => Finding::fine("topic", format!("{name}, {partitions} partitions")),
            Some((_, Some(error))) => Finding::wrong(
                "topic",
                format!("{name}: {}: does this user have the right to read it?", KafkaError::MetadataFetch(error.into())),
            ),
            _ => Finding::wrong(
                "topic",
                format!("{name} does not exist, or this user may not see it: create it, or change kafka.topics"),
            ),
        }
    }));
    findings.extend(outputs::check(config, &client, &metadata));
    findings.push(group(&consumer, &kafka.group));
    findings
}

fn client(kafka: &Kafka) -> ClientConfig {
    let mut client: ClientConfig = kafka.properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    client.set("bootstrap.servers", &kafka.brokers).set("group.id", &kafka.group).set("allow.auto.create.topics", "false");
    client
}

fn group(consumer: &BaseConsumer<Heard>, name: &str) -> Finding {
    match consumer.client().fetch_group_list(Some(name), TIMEOUT) {
        Err(error) => Finding::wrong("group", format!("{name}: {error}: does this user have the right to use it?")),
        Ok(list) => match list.groups().iter().find(|group| group.name() == name) {
            Some(group) if !group.state().is_empty() && group.state() != "Dead" => {
                Finding::fine("group", format!("{name}, {} members, {}", group.members().len(), group.state().to_lowercase()))
            }
            _ => Finding::fine("group", format!("{name}, new")),
        },
    }
}
