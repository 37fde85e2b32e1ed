//! The keys that exist, taken from the default configuration itself: an object is a section, an empty one a free map
//! (`kafka.properties`, `store.options`), everything else a value.

use serde_json::{Map, Value};

/// A tree of JSON objects with the shape of [`super::Config`].
pub(super) struct Schema(Value);

/// Where the value of a key goes: the names on the way from the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A key of [`super::Config`].
    Leaf(Vec<String>),
    /// A property in a free map; the last name may have dots.
    Free(Vec<String>),
}

impl Schema {
    pub(super) fn new(defaults: Value) -> Self {
        Self(defaults)
    }

    /// Where `key` goes, or `None` where there is no such key (a section is none).
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        let mut path = Vec::new();
        let (mut object, mut rest) = (self.0.as_object()?, key);
        loop {
            if object.is_empty() {
                path.push(rest.to_owned());
                return Some(Place::Free(path));
            }
            let (name, below) = rest.split_once('.').map_or((rest, None), |(name, below)| (name, Some(below)));
            path.push(name.to_owned());
            match (object.get(name)?, below) {
                (Value::Object(inner), Some(below)) => (object, rest) = (inner, below),
                (Value::Object(_), None) | (_, Some(_)) => return None,
                (_, None) => return Some(Place::Leaf(path)),
            }
        }
    }

    /// The default of the key at `path`.
    pub(super) fn default(&self, path: &[String]) -> &Value {
        path.iter().fold(&self.0, |tree, name| &tree[name.as_str()])
    }

    /// Whether `key` is a section or a free map.
    pub(super) fn is_section(&self, key: &str) -> bool {
        key.split('.').try_fold(&self.0, |value, name| value.get(name)).is_some_and(Value::is_object)
    }

    /// Why `key` is none, and what may have been meant.
    pub(super) fn explain(&self, key: &str) -> String {
        if self.is_section(key) {
            return format!("is a section: give its keys below [{key}]");
        }
        if let Some((parent, _)) = key.rsplit_once('.').filter(|(parent, _)| self.place(parent).is_some()) {
            return format!("unknown key: {parent} takes a single value");
        }
        let known = self.keys();
        let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
        let elsewhere = known.iter().find(|known| last(known) == last(key));
        let distance = |known: &String| strsim::damerau_levenshtein(&key.to_lowercase(), known);
        let near = known.iter().min_by_key(|known| distance(known)).filter(|known| distance(known) <= 3);
        match (near.or(elsewhere), key.split_once('.').and_then(|(section, _)| self.0.get(section))) {
            (Some(meant), _) => format!("unknown key; did you mean {meant}?"),
            (None, Some(Value::Object(section))) => format!("unknown key; the keys here are {}", names(section)),
            _ => format!("unknown key; the sections are {}", self.0.as_object().map(names).unwrap_or_default()),
        }
    }

    /// Every dotted key, free maps by their own name.
    fn keys(&self) -> Vec<String> {
        let sections = self.0.as_object().into_iter().flatten();
        sections
            .flat_map(|(section, keys)| keys.as_object().into_iter().flatten().map(move |(key, _)| format!("{section}.{key}")))
            .collect()
    }
}

fn names(object: &Map<String, Value>) -> String {
    object.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::new(serde_json::json!({"kafka": {"topics": [], "brokers": "b", "properties": {}}, "http": {"listen": "l"}}))
    }

    #[test]
    fn a_key_has_its_place() {
        let path = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(schema().place("kafka.topics"), Some(Place::Leaf(path(&["kafka", "topics"]))));
        let property = path(&["kafka", "properties", "sasl.username"]);
        assert_eq!(schema().place("kafka.properties.sasl.username"), Some(Place::Free(property)));
        for none in ["kafka", "kafka.properties", "kafka.topic", "kafka.topics.x", "", "topics"] {
            assert_eq!(schema().place(none), None, "{none}");
        }
    }

    #[test]
    fn what_was_meant_is_suggested() {
        let cases = [
            ("kafka.topcis", "did you mean kafka.topics?"),
            ("kafka_brokers", "did you mean kafka.brokers?"),
            ("kafak.topics", "did you mean kafka.topics?"),
            ("listen", "did you mean http.listen?"),
            ("kafka", "is a section"),
            ("kafka.topics.w", "kafka.topics takes a single value"),
            ("http.something_else", "the keys here are listen"),
            ("xyz.something_else", "the sections are kafka, http"),
        ];
        for (key, expected) in cases {
            assert!(schema().explain(key).contains(expected), "{key}: {}", schema().explain(key));
        }
    }
}
