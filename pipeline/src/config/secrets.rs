//! Secrets, and free maps of properties, whose values may be some.
//!
//! In: properties as written, where `env:NAME` and `file:PATH` stand for a secret kept elsewhere. Out: the secrets themselves.
//! Invariant: no value of a [`Settings`] or [`Secret`] appears in `Debug`, and none of a secret key in [`shown`].

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::source::Sources;

/// Properties passed on to a library: name to value. `Debug` prints the names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, String>);

impl Deref for Settings {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl FromIterator<(String, String)> for Settings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value of ours that is a secret; empty where none was given. `Debug` prints whether there is one.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "(none)" } else { "(secret)" })
    }
}

/// Keys outside of free maps whose values are secrets.
const SECRET_KEYS: [&str; 1] = ["http.token"];

/// Whether the key's value is a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
}

/// The value that `text` stands for: an environment variable's for `env:NAME`, a file's without its trailing newline for
/// `file:PATH`, else `text` itself.
pub(super) fn resolve(text: &str, sources: &Sources) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("env:") {
        return sources.env.get(name).cloned().ok_or_else(|| format!("the environment variable {name:?} is not set"));
    }
    // `file:///…` is a URL, which some properties take.
    match text.strip_prefix("file:") {
        Some(path) if !path.starts_with("//") => std::fs::read_to_string(path)
            .map(|secret| secret.strip_suffix('\n').map_or(secret.as_str(), |s| s.strip_suffix('\r').unwrap_or(s)).to_owned())
            .map_err(|error| format!("cannot read the file {path:?}: {error}")),
        _ => Ok(text.to_owned()),
    }
}

/// How the value `text` of property `name` may be shown: nothing and a reference as they are, the value of a secret key not at all.
pub(super) fn shown<'a>(name: &str, text: &'a str) -> &'a str {
    let tells_nothing = text.is_empty() || text.starts_with("env:") || text.starts_with("file:");
    if is_secret(name) && !tells_nothing { "(redacted)" } else { text }
}

/// Whether a property's name says that its value is a secret. Too many is better than too few.
fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "credential", "authorization"];
    let name = name.to_ascii_lowercase();
    if name.ends_with("location") {
        return false; // the path of a key file
    }
    PARTS.iter().any(|part| name.contains(part))
        || name == "sasl.oauthbearer.config"
        || name.split(['.', '_', '-']).any(|word| word.ends_with("key") || word == "sas" || word == "pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "aws_secret_access_key",
            "aws_access_key_id",
            "azure_storage_sas_key",
            "azure_storage_sas_token",
            "google_service_account_key",
            "ACCOUNTKEY",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["sasl.username", "sasl.mechanism", "ssl.key.location", "ssl.ca.location", "region", "endpoint", "session.timeout.ms"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn debug_prints_no_value() {
        let settings: Settings = [("sasl.password".to_owned(), "hunter2".to_owned())].into_iter().collect();
        assert_eq!(format!("{settings:?}"), r#"{"sasl.password"}"#);
        assert_eq!(format!("{:?} {:?}", Secret::from("hunter2"), Secret::default()), "(secret) (none)");
    }
}
