//! Merges what was given into one checked [`Config`].
//!
//! In: [`Sources`]. Out: configuration and origins, or every mistake at once. Invariant: each value is checked on its own,
//! against a tree in which all others are good, so that one mistake hides no other.

use std::fmt;

use serde_json::Value;

use super::Config;
use super::given::{Given, gather};
use super::rules;
use super::schema::{Place, Schema};
use super::secrets::{is_secret_key, resolve};
use super::source::{Origin, Origins, Sources};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Dotted key; empty where it concerns the whole file.
    pub key: String,
    /// Who gave the value.
    pub origin: Origin,
    /// What is wrong, and what to do.
    pub text: String,
}

impl Mistake {
    pub(super) fn new(key: &str, origin: Origin, text: impl Into<String>) -> Self {
        Self { key: key.to_owned(), origin, text: text.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), &self.origin) {
            ("", origin) => write!(f, "{origin}: {}", self.text),
            (key, Origin::Default) => write!(f, "{key}: {}", self.text),
            (key, origin) => write!(f, "{key} ({origin}): {}", self.text),
        }
    }
}

/// Everything that is wrong with the configuration; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// The configuration that `sources` give, and where each of its values came from.
pub fn load(sources: &Sources) -> Result<(Config, Origins), Mistakes> {
    let mut loading = Loading::new();
    for given in gather(sources, &loading.schema, &mut loading.mistakes) {
        loading.take(given, sources);
    }
    loading.finish(sources)
}

struct Loading {
    schema: Schema,
    /// The defaults with every good value so far.
    tree: Value,
    config: Config,
    origins: Origins,
    mistakes: Vec<Mistake>,
}

impl Loading {
    fn new() -> Self {
        let config = Config::default();
        let tree = serde_json::to_value(&config).expect("the default configuration has a JSON form");
        Self { schema: Schema::new(tree.clone()), tree, config, origins: Origins::default(), mistakes: Vec::new() }
    }

    fn take(&mut self, given: Given, sources: &Sources) {
        let taken = match self.schema.place(&given.key) {
            None => Err(self.schema.explain(&given.key)),
            Some(Place::Leaf(path)) if is_secret_key(&given.key) => self.take_secret(&path, &given.value, sources),
            Some(Place::Leaf(path)) => self.take_leaf(&path, &given.value),
            Some(Place::Free(path)) => self.take_property(&path, &given.value, sources),
        };
        match taken {
            Ok(()) => self.origins.insert(given.key, given.origin, given.value),
            Err(text) => self.mistakes.push(Mistake { key: given.key, origin: given.origin, text }),
        }
    }

    /// Text from the environment or a flag is read as TOML where the default is not text, and as it is where that fails.
    fn take_leaf(&mut self, path: &[String], value: &Value) -> Result<(), String> {
        let default = self.schema.default(path);
        let typed = match value {
            Value::String(text) if !default.is_string() => text.parse::<toml::Value>().ok(),
            _ => None,
        };
        match typed.and_then(|typed| serde_json::to_value(typed).ok()) {
            Some(typed) if self.put(path, &typed).is_ok() => Ok(()),
            _ => self.put(path, value),
        }
    }

    /// No message quotes the value.
    fn take_secret(&mut self, path: &[String], value: &Value, sources: &Sources) -> Result<(), String> {
        let Value::String(text) = value else { return Err("expected text: put it in quotes".to_owned()) };
        self.put(path, &Value::String(resolve(text, sources)?))
    }

    fn take_property(&mut self, path: &[String], value: &Value, sources: &Sources) -> Result<(), String> {
        let text = match value {
            Value::String(text) => resolve(text, sources)?,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err("expected text, a number or a boolean".to_owned()),
        };
        self.put(path, &Value::String(text))
    }

    /// Puts `value` into the tree if the tree is still a configuration with it.
    fn put(&mut self, path: &[String], value: &Value) -> Result<(), String> {
        let mut tree = self.tree.clone();
        *path.iter().fold(&mut tree, |tree, name| &mut tree[name.as_str()]) = value.clone();
        self.config = serde_json::from_value(tree.clone()).map_err(|error| error.to_string())?;
        self.tree = tree;
        Ok(())
    }

    fn finish(mut self, sources: &Sources) -> Result<(Config, Origins), Mistakes> {
        // A value that was refused above left its default behind: that is no second mistake.
        let refused: Vec<String> = self.mistakes.iter().map(|mistake| mistake.key.clone()).collect();
        let broken = rules::broken(&self.config, sources.needs).into_iter().filter(|(key, _)| !refused.contains(key));
        self.mistakes.extend(broken.map(|(key, text)| Mistake { origin: self.origins.of(&key).clone(), key, text }));
        if self.mistakes.is_empty() { Ok((self.config, self.origins)) } else { Err(Mistakes(self.mistakes)) }
    }
}

#[cfg(test)]
mod tests;
