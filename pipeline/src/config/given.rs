//! What users gave: file, environment and flags, each read into one list of values with their origin.
//!
//! In: [`Sources`]. Out: [`Given`] values in order of precedence, the weakest first, and [`Mistake`]s of form. Whether a key
//! exists and takes such a value is [`super::load`]'s matter.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::load::Mistake;
use super::schema::{Place, Schema};
use super::source::{Origin, Sources};

const ENV_PREFIX: &str = "FACESTREAM__";

/// One value for one key.
pub(super) struct Given {
    /// Dotted: `kafka.topics`.
    pub(super) key: String,
    /// The value, typed in a file, [`Value::String`] elsewhere.
    pub(super) value: Value,
    /// Who gave it.
    pub(super) origin: Origin,
}

/// Everything given, the weakest first.
pub(super) fn gather(sources: &Sources, schema: &Schema, mistakes: &mut Vec<Mistake>) -> Vec<Given> {
    let mut given = Vec::new();
    if let Some(path) = &sources.file {
        match read_file(path, schema) {
            Ok(values) => given.extend(values),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    given.extend(sources.env.iter().filter_map(|(name, text)| {
        let key = key_of_env(name.strip_prefix(ENV_PREFIX)?);
        Some(Given { key, value: Value::from(text.as_str()), origin: Origin::Env(name.clone()) })
    }));
    for pair in &sources.set {
        if let Some((key, text)) = pair.split_once('=') {
            given.push(Given { key: key.trim().to_owned(), value: Value::from(text), origin: Origin::Flag });
        } else {
            // No more of it than may be a key: what follows may be a secret.
            let is_of_a_key = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let key = &pair[..pair.find(|c| !is_of_a_key(c)).unwrap_or(pair.len())];
            mistakes.push(Mistake::new(key, Origin::Flag, "expected KEY=VALUE, such as kafka.topics=frames"));
        }
    }
    given
}

/// `KAFKA__PROPERTIES__SASL_USERNAME` to `kafka.properties.sasl.username`. librdkafka's properties have dots where a variable's
/// name cannot; `object_store`'s options have underscores.
fn key_of_env(name: &str) -> String {
    let key = name.to_lowercase().replace("__", ".");
    match key.strip_prefix("kafka.properties.") {
        Some(property) => format!("kafka.properties.{}", property.replace('_', ".")),
        None => key,
    }
}

fn read_file(path: &Path, schema: &Schema) -> Result<Vec<Given>, Mistake> {
    let mistake = |line, text: String| Mistake::new("", Origin::File(path.to_owned(), line), text);
    let text =
        std::fs::read_to_string(path).map_err(|error| mistake(1, format!("cannot read the configuration file: {error}")))?;
    let line_of = |at: usize| text[..at].matches('\n').count() + 1;
    // The message alone: the line that it would quote may hold a secret.
    let table = DeTable::parse(&text)
        .map_err(|error| mistake(error.span().map_or(1, |span| line_of(span.start)), format!("not TOML: {}", error.message())))?;
    let mut leaves = Vec::new();
    walk(table.into_inner(), "", schema, &mut leaves);
    Ok(leaves
        .into_iter()
        .map(|(key, at, value)| Given { key, value, origin: Origin::File(path.to_owned(), line_of(at)) })
        .collect())
}

/// Flattens `table` into (dotted key, position in the file, value), down to the keys that `schema` has. A table below
/// `[kafka.properties]` is a property's name written without quotes.
fn walk(table: DeTable<'_>, prefix: &str, schema: &Schema, leaves: &mut Vec<(String, usize, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        let at = name.span().start;
        let is_leaf = matches!(schema.place(&key), Some(Place::Leaf(_)));
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(inner) if !is_leaf && (!inner.is_empty() || schema.is_section(&key)) => {
                walk(inner, &key, schema, leaves);
            }
            value => leaves.push((key, at, to_json(Spanned::new(span, value)))),
        }
    }
}

/// The value as JSON; what JSON does not have (not a number, infinity) becomes null, which no key takes.
fn to_json(value: Spanned<DeValue<'_>>) -> Value {
    Value::deserialize(ValueDeserializer::from(value)).unwrap_or(Value::Null)
}
