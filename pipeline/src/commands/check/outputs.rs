//! The part of `facestream check` about topics that the pipeline writes to.

use std::time::Duration;

use facestream_schemas::dead_letter::OVERHEAD_BYTES;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;

use super::Finding;
use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the configured output topics are there, and whether dead letters fit theirs.
pub(super) fn check(config: &Config, client: &ClientConfig, metadata: &Metadata) -> Vec<Finding> {
    let outputs = [
        ("events.topic", &config.events.topic),
        ("windows.topic", &config.windows.topic),
        ("annotate.topic", &config.annotate.topic),
        ("dead_letters.topic", &config.dead_letters.topic),
    ];
    let named = outputs.into_iter().filter(|(_, topic)| !topic.is_empty());
    let mut findings: Vec<_> = named.map(|(key, topic)| output(key, topic, metadata)).collect();
    let letters = &config.dead_letters;
    if !letters.topic.is_empty() && findings.last().is_some_and(|finding| finding.code == 0) {
        let needed = letters.max_bytes.0.saturating_add(OVERHEAD_BYTES);
        findings.extend(largest_message(client, &letters.topic).and_then(|largest| too_small(&letters.topic, largest, needed)));
    }
    let pictures = &config.annotate.topic;
    if !pictures.is_empty() && metadata.topics().iter().any(|topic| topic.name() == pictures && topic.error().is_none()) {
        findings.extend(largest_message(client, pictures).and_then(|largest| largest_picture(config, largest)));
    }
    findings
}

/// What becomes of annotated pictures that are as large as frames may be. Few are, so that this alone is nothing wrong.
fn largest_picture(config: &Config, largest: u64) -> Option<Finding> {
    let Config { kafka, annotate, fetch, .. } = config;
    let fetched = (!fetch.allow.is_empty()).then_some(fetch.max_bytes);
    let frames = kafka.topics.iter().map(|topic| config.envelope_of(topic).max_bytes).chain(fetched).max()?;
    (largest < frames.bytes()).then(|| {
        let text = format!(
            "{} takes messages of {largest} bytes, frames may have {}: larger annotated pictures are given up; raise its \
             max.message.bytes where yours are",
            annotate.topic,
            frames.bytes()
        );
        Finding::fine("output topic", text)
    })
}

fn output(key: &str, name: &str, metadata: &Metadata) -> Finding {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    match topic.map(|topic| (topic.partitions().len(), topic.error())) {
        Some((partitions, None)) if partitions > 0 => {
            Finding::fine("output topic", format!("{name} ({key}), {partitions} partitions"))
        }
        Some((_, Some(error))) => {
            let error = KafkaError::MetadataFetch(error.into());
            Finding::wrong("output topic", format!("{name} ({key}): {error}: does this user have the right to write to it?"))
        }
        _ => Finding::wrong(
            "output topic",
            format!("{name} ({key}) does not exist, or this user may not see it: create it, or leave {key} empty"),
        ),
    }
}

fn too_small(topic: &str, largest: u64, needed: u64) -> Option<Finding> {
    (largest < needed).then(|| {
        let text = format!(
            "{topic} takes messages of {largest} bytes, dead letters may have {needed}: raise its max.message.bytes, or lower \
             dead_letters.max_bytes"
        );
        Finding::wrong("output topic", text)
    })
}

/// The topic's `max.message.bytes`; `None` where the brokers do not tell, as they need not.
fn largest_message(client: &ClientConfig, topic: &str) -> Option<u64> {
    let admin: AdminClient<DefaultClientContext> = client.create().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let asked = [ResourceSpecifier::Topic(topic)];
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let told = runtime.block_on(admin.describe_configs(&asked, &options)).ok()?;
    let topic = told.into_iter().next()?.ok()?;
    topic.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_does_not_take_the_largest_frame_is_mentioned() {
        let mut config = Config::default();
        config.kafka.topics = vec!["cams".to_owned()];
        config.annotate.topic = "shown".to_owned();
        let largest = config.envelope.max_bytes.bytes();
        assert!(largest_picture(&config, largest).is_none());
        let finding = largest_picture(&config, largest - 1).unwrap();
        assert!(finding.code == 0 && finding.text.contains("shown") && finding.text.contains("max.message.bytes"));
    }

    #[test]
    fn a_topic_that_cannot_take_the_largest_letter_is_wrong() {
        assert!(too_small("dead", 1_000, 1_000).is_none());
        let finding = too_small("dead", 999, 1_000).unwrap();
        assert!(
            finding.code == 1 && finding.text.contains("999") && finding.text.contains("max.message.bytes"),
            "{}",
            finding.text
        );
    }
}
