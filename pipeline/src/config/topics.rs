//! What is different for one topic: `[topics.NAME.load]` and `[topics.NAME.envelope]` over `[load]` and `[envelope]`.
//!
//! In: the flat keys of `topics`, such as `NAME.load.policy`. Out: the section as it is for one topic. Invariant: what
//! [`mistakes`] has no fault with can be applied.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Config, Envelope, Load};

const SECTIONS: [&str; 2] = ["load", "envelope"];

impl Config {
    /// The load policy of one topic.
    #[must_use]
    pub fn load_of(&self, topic: &str) -> Load {
        self.section_of(topic, "load", &self.load)
    }

    /// What messages of one topic look like.
    #[must_use]
    pub fn envelope_of(&self, topic: &str) -> Envelope {
        self.section_of(topic, "envelope", &self.envelope)
    }

    fn section_of<T: Clone + Serialize + DeserializeOwned>(&self, topic: &str, name: &str, section: &T) -> T {
        let prefix = format!("{topic}.{name}.");
        let overridden = self.topics.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value)));
        overridden.fold(section.clone(), |section, (key, value)| with(&section, key, value).unwrap_or(section))
    }
}

/// (key below `topics`, what is wrong with it).
pub(super) fn mistakes(config: &Config) -> Vec<(String, String)> {
    config.topics.iter().filter_map(|(key, value)| Some((key.to_owned(), mistake(config, key, value)?))).collect()
}

fn mistake(config: &Config, key: &str, value: &str) -> Option<String> {
    let found = SECTIONS.iter().find_map(|section| {
        let (topic, rest) = key.split_once(&format!(".{section}."))?;
        Some((topic, *section, rest))
    });
    let Some((topic, section, rest)) = found else {
        return Some("is no key: expected topics.NAME.load.KEY or topics.NAME.envelope.KEY".to_owned());
    };
    if !config.kafka.topics.iter().any(|known| known == topic) {
        return Some(format!("{topic:?} is none of kafka.topics"));
    }
    let applied = match section {
        "load" => with(&config.load, rest, value).map(drop),
        _ => with(&config.envelope, rest, value).map(drop),
    };
    applied.err()
}

/// `section` with one of its keys set to what `value` says, or what is wrong.
fn with<T: Serialize + DeserializeOwned>(section: &T, key: &str, value: &str) -> Result<T, String> {
    let mut tree = serde_json::to_value(section).map_err(|error| error.to_string())?;
    let typed = value.parse::<toml::Value>().ok().and_then(|typed| serde_json::to_value(typed).ok());
    let (name, below) = key.split_once('.').map_or((key, None), |(name, below)| (name, Some(below)));
    let known: Vec<_> = tree.as_object().into_iter().flat_map(|keys| keys.keys().cloned()).collect();
    let place = tree.get_mut(name).ok_or_else(|| format!("unknown key; the keys here are {}", known.join(", ")))?;
    let place = match (below, place) {
        (None, place @ Value::Object(_)) => return Err(format!("{name} is a section: give its keys ({place})")),
        (None, place) => place,
        (Some(below), Value::Object(map)) => map.entry(below).or_insert(Value::Null),
        (Some(_), _) => return Err(format!("unknown key: {name} takes a single value")),
    };
    let is_text = place.is_string() || place.is_null();
    *place = typed.filter(|_| !is_text).unwrap_or_else(|| Value::from(value));
    serde_json::from_value(tree).map_err(|error| error.to_string())
}
