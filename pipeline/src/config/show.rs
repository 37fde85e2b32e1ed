//! The effective configuration as text: TOML, each value with its origin as a comment, secrets left out.

use std::fmt::Write as _;

use serde_json::Value;

use super::secrets::{is_secret_key, shown};
use super::{Config, Origins};

/// Every value of `config` with its origin. The text is TOML; as a configuration it lacks the secrets.
#[must_use]
pub fn show(config: &Config, origins: &Origins) -> String {
    let tree = serde_json::to_value(config).unwrap_or_default();
    let mut text = String::new();
    for (section, keys) in tree.as_object().into_iter().flatten() {
        let (maps, values): (Vec<_>, Vec<_>) = keys.as_object().into_iter().flatten().partition(|(_, value)| value.is_object());
        write_section(&mut text, section, values.into_iter().map(|(name, value)| (name.as_str(), value)), origins);
        for (map, properties) in maps {
            let section = format!("{section}.{map}");
            let written = properties
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, resolved)| (name.as_str(), origins.written(&format!("{section}.{name}")).unwrap_or(resolved)));
            write_section(&mut text, &section, written, origins);
        }
    }
    text
}

fn write_section<'a>(text: &mut String, section: &str, values: impl Iterator<Item = (&'a str, &'a Value)>, origins: &Origins) {
    let is_free = section.contains('.');
    let lines: Vec<(String, &super::Origin)> = values
        .map(|(name, value)| {
            let key = format!("{section}.{name}");
            let value = match value.as_str() {
                Some(secret) if is_free => Value::from(shown(name, secret)),
                Some(_) if is_secret_key(&key) => {
                    Value::from(shown(name, origins.written(&key).and_then(Value::as_str).unwrap_or_default()))
                }
                _ => value.clone(),
            };
            // A JSON string is a TOML string too.
            let name_shown = if is_free { Value::from(name).to_string() } else { name.to_owned() };
            (format!("{name_shown} = {value}"), origins.of(&key))
        })
        .collect();
    if lines.is_empty() {
        return;
    }
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}[{section}]");
    for (line, origin) in lines {
        let _ = writeln!(text, "{line:width$}  # {origin}");
    }
}
