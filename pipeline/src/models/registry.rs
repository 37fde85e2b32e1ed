//! The models that are known by name.
//!
//! In: `deploy/models.toml`, which set-up reads too. Out: what is known of each. Invariants, tested here: names and files are unique, a
//! file is pinned whole or not at all, and what may not be used commercially is neither fetched nor looked for unasked.

use std::sync::LazyLock;

use facestream_schemas::Size;
use serde::{Deserialize, Serialize};

const TABLE: &str = include_str!("../../../deploy/models.toml");

/// What is known of a model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Known {
    /// What `detector.model` calls it.
    pub name: String,
    /// What its graph is held against.
    pub family: String,
    /// Of the weights.
    #[serde(flatten)]
    pub licence: Licence,
    /// The one file that it is, where one is pinned.
    #[serde(flatten)]
    pub pin: Option<Pin>,
    /// The one size of pictures that it takes; `None` where it takes any, or nothing is pinned.
    pub input: Option<String>,
    /// Smallest and largest face that it was trained for, in pixels, where that is published.
    pub faces_px: Option<[u32; 2]>,
    /// Published average precision on WIDER FACE's validation set: easy, medium, hard.
    pub ap: Option<[f64; 3]>,
    /// Where that is published, and how it was measured.
    pub ap_source: Option<String>,
    /// Where it is fetched from.
    pub url: Option<String>,
    /// How else to get it.
    pub get: Option<String>,
}

/// What one may do with the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Licence {
    /// Its name.
    #[serde(rename = "licence")]
    pub text: String,
    /// It forbids commercial use.
    #[serde(default)]
    pub non_commercial: bool,
}

/// A file's name in the model folder, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its name.
    pub file: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// Their number.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct Table {
    model: Vec<Known>,
}

/// All of them, in the table's order.
#[must_use]
pub fn all() -> &'static [Known] {
    static ALL: LazyLock<Vec<Known>> = LazyLock::new(|| toml::from_str::<Table>(TABLE).expect("the tests read it, too").model);
    &ALL
}

/// The model of this name.
#[must_use]
pub fn known(name: &str) -> Option<&'static Known> {
    all().iter().find(|known| known.name == name)
}

/// A size as the tables have it: `640x384`.
#[must_use]
pub fn written(size: Size) -> String {
    format!("{}x{}", size.w, size.h)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_model_is_named_once_and_pinned_whole_or_not_at_all() {
        let names: HashSet<_> = all().iter().map(|known| known.name.as_str()).collect();
        let files: HashSet<_> = all().iter().filter_map(|known| known.pin.as_ref()).map(|pin| pin.file.as_str()).collect();
        assert_eq!(names.len(), all().len());
        // A pin with a part missing would not be read at all.
        assert_eq!(files.len(), TABLE.lines().filter(|line| line.starts_with("file = ")).count());
        assert_eq!(files.len(), TABLE.lines().filter(|line| line.starts_with("sha256 = ")).count());
        for pin in all().iter().filter_map(|known| known.pin.as_ref()) {
            assert!(
                pin.sha256.len() == 64 && pin.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
                "{pin:?}"
            );
            assert!(pin.bytes > 0, "{pin:?}");
        }
        assert!(["yunet", "centerface"].iter().all(|name| known(name).is_some_and(|known| known.pin.is_some())));
    }

    #[test]
    fn the_table_says_what_is_known_and_nothing_that_is_not_read() {
        let read = [
            "name",
            "family",
            "licence",
            "non_commercial",
            "file",
            "sha256",
            "bytes",
            "input",
            "faces_px",
            "ap",
            "ap_source",
            "url",
            "get",
        ];
        let written: toml::Table = TABLE.parse().unwrap();
        for model in written["model"].as_array().unwrap() {
            for key in model.as_table().unwrap().keys() {
                assert!(read.contains(&key.as_str()), "{key}");
            }
        }
        for known in all() {
            assert!(["yunet", "centerface", "scrfd"].contains(&known.family.as_str()), "{known:?}");
            assert_eq!(known.ap.is_some(), known.ap_source.is_some(), "{known:?}");
            assert!(known.ap.into_iter().flatten().all(|ap| ap > 0.5 && ap < 1.0), "{known:?}");
            assert!(known.url.is_some() || known.get.is_some(), "{known:?}");
            // A commit, not a branch: what is fetched is what was looked at.
            let pins_a_commit = |url: &str| url.starts_with("https://") && url.split('/').any(|part| part.len() == 40);
            assert!(known.url.as_deref().is_none_or(|url| pins_a_commit(url) && known.pin.is_some()), "{known:?}");
        }
    }

    #[test]
    fn what_may_not_be_used_commercially_is_never_fetched_and_says_so() {
        let restricted: Vec<_> = all().iter().filter(|known| known.licence.non_commercial).collect();
        assert!(!restricted.is_empty());
        assert!(restricted.iter().all(|known| known.url.is_none() && known.licence.text.contains("non-commercial")));
        assert!(all().iter().all(|known| known.family != "scrfd" || known.licence.non_commercial));
    }
}
