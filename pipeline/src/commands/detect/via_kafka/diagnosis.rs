//! Why no event came: which part of the loop is missing, found out by asking Kafka.
//!
//! In: the place of a message that nobody has answered. Out: what there is, what there is not, and what to do. Invariant: nothing is said
//! that was not looked at, and nothing is changed.

use facestream_schemas::event::What;
use facestream_schemas::{Offset, Partition};

use super::post::Place;
use crate::commands::group::Group;
use crate::config::{Config, Events, GroupProtocol, Kafka};

/// What Kafka says of the consumer group that should have answered.
struct Facts {
    /// In words; `None` where it has none.
    members: Option<String>,
    /// Where it goes on in the message's partition.
    committed: Option<Offset>,
}

/// Asks, and says why nobody answered the message at `place` of `topic`.
pub(super) fn why(config: &Config, topic: &str, (number, offset): Place) -> anyhow::Result<String> {
    let message = Partition { topic: topic.into(), number };
    let group = Group::connect(&config.kafka)?;
    // A dry run: of what is committed nothing is changed.
    let members = group.members(&[(&message, None)], true)?;
    let facts = Facts { members, committed: group.committed(&message)? };
    Ok(said(&config.kafka, &config.events, &message, Offset(offset), &facts))
}

fn said(kafka: &Kafka, events: &Events, message: &Partition, offset: Offset, facts: &Facts) -> String {
    let Kafka { brokers, group, .. } = kafka;
    let Facts { members, committed } = facts;
    let is_taken_in = committed.is_some_and(|committed| committed > offset);
    let committed = committed.map_or_else(|| "nothing".to_owned(), |committed| format!("up to offset {committed}"));
    match members {
        _ if is_taken_in => {
            let others = match events.what {
                What::Frames => "",
                What::Faces | What::FramesWithFaces => {
                    ", and with events.what other than \"frames\" a picture without a face, or one that failed, has none"
                }
            };
            format!(
                "the pipeline has taken the message in ({message} at offset {offset}, the group {group} has committed {committed}) \
                 and sent no event to {}: where it runs, events.topic has to be \"{}\"{others}",
                events.topic, events.topic
            )
        }
        // The brokers list members of the newer protocol only to those who ask otherwise, and without a commit there is no other sign.
        None if kafka.group_protocol == GroupProtocol::Consumer && committed == "nothing" => format!(
            "the consumer group {group} at {brokers} has committed nothing in {message}: is `facestream run` running, with this \
             kafka.group, and with {} among its kafka.topics?",
            message.topic
        ),
        None => format!(
            "no pipeline is running: the consumer group {group} at {brokers} has no members: start `facestream run`, or set \
             kafka.group to what the running one has"
        ),
        Some(members) => format!(
            "the pipeline has not taken the message in yet: the group {group} has {members} and has committed {committed} in {message}, \
             the message lies at offset {offset}: give it more time with --timeout, see whether {} is among its kafka.topics, and look \
             at its log",
            message.topic
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(members: Option<&str>, committed: Option<i64>, set: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        config.events.topic = "faces".to_owned();
        set(&mut config);
        let message = Partition { topic: "frames".into(), number: 3 };
        let facts = Facts { members: members.map(str::to_owned), committed: committed.map(Offset) };
        super::said(&config.kafka, &config.events, &message, Offset(41), &facts)
    }

    #[test]
    fn each_missing_part_is_told_apart() {
        let nobody = said(None, None, |_| ());
        assert!(nobody.starts_with("no pipeline is running") && nobody.contains("group facestream"), "{nobody}");
        // Somebody was there, and is gone.
        assert!(said(None, Some(41), |_| ()).starts_with("no pipeline is running"));
        let behind = said(Some("2 members"), Some(41), |_| ());
        assert!(behind.contains("not taken the message in yet") && behind.contains("up to offset 41"), "{behind}");
        assert!(said(Some("2 members"), None, |_| ()).contains("committed nothing in frames/3"));
        let silent = said(Some("2 members"), Some(42), |_| ());
        assert!(silent.contains("sent no event to faces") && !silent.contains("events.what"), "{silent}");
        let choosy = said(Some("2 members"), Some(42), |config| config.events.what = What::Faces);
        assert!(choosy.contains("a picture without a face"), "{choosy}");
        let unsure = said(None, None, |config| config.kafka.group_protocol = GroupProtocol::Consumer);
        assert!(unsure.contains("is `facestream run` running"), "{unsure}");
        let gone = said(None, Some(1), |config| config.kafka.group_protocol = GroupProtocol::Consumer);
        assert!(gone.starts_with("no pipeline is running"), "{gone}");
    }
}
