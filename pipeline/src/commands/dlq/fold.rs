//! What a dead-letter topic comes to: of each key the newest letter, unless a tombstone ended it.
//!
//! In: its records, each partition's in order. Out: letters by key. Invariant: of a letter only what its headers say is kept. The
//! same original may have letters in several partitions (it failed again after the topic had grown): they are one letter in
//! several places, each of which a tombstone of its own ends.

use std::collections::BTreeMap;

use facestream_schemas::Micros;
use facestream_schemas::dead_letter::Facts;

/// Keys of ours are shorter; a longer one is not worth its memory.
const LONGEST_KEY: usize = 512;
/// How many similar keys are suggested, and from which similarity on.
const NEAR: (usize, f64) = (3, 0.8);

/// Where a record lies in the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A record of the topic.
pub(super) struct Seen<'a> {
    pub(super) place: Place,
    pub(super) key: Option<&'a [u8]>,
    /// Size of the value in bytes and what the headers say, or what is wrong with them; `None` for a tombstone.
    pub(super) letter: Option<(u64, Result<Facts, String>)>,
    pub(super) written: Micros,
}

/// A letter, its value aside.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    /// Its key as text; for one without a usable key `@partition/offset`.
    pub(super) name: String,
    /// Its key; `None` for one without a usable key, which no tombstone can end.
    pub(super) key: Option<Vec<u8>>,
    /// What its headers say, or what is wrong with them.
    pub(super) facts: Result<Facts, String>,
    /// Size of its value in bytes.
    pub(super) bytes: u64,
    /// When the newest was written.
    pub(super) written: Micros,
    /// Where the newest lies.
    pub(super) newest: Place,
    /// Every partition that has one, with its offset there.
    pub(super) places: BTreeMap<i32, i64>,
}

impl Letter {
    /// When the original was first seen; of a damaged letter, when it was written.
    pub(super) fn since(&self) -> Micros {
        self.facts.as_ref().map_or(self.written, |facts| facts.first_seen)
    }

    /// Its reason; `damaged` where the headers do not say.
    pub(super) fn reason(&self) -> &str {
        self.facts.as_ref().map_or("damaged", |facts| facts.reason.as_str())
    }
}

/// The letters that are there.
#[derive(Debug, Default)]
pub(super) struct Folded(BTreeMap<String, Letter>);

impl Folded {
    /// Takes the next record of its partition in.
    pub(super) fn take(&mut self, seen: Seen<'_>) {
        let Place { partition, offset } = seen.place;
        let key = seen.key.filter(|key| key.len() <= LONGEST_KEY);
        let name = match key.map(std::str::from_utf8) {
            Some(Ok(text)) if !text.starts_with('@') => text.to_owned(),
            _ => format!("@{partition}/{offset}"),
        };
        let known = self.0.get_mut(&name);
        let Some((bytes, facts)) = seen.letter else {
            let is_over = known.is_some_and(|letter| {
                letter.places.remove(&partition);
                letter.places.is_empty()
            });
            if is_over {
                self.0.remove(&name);
            }
            return;
        };
        let mut places = BTreeMap::from([(partition, offset)]);
        if let Some(known) = known {
            known.places.insert(partition, offset);
            // Within a partition the later one is the newer; between partitions the clock decides.
            if known.newest.partition != partition && known.written > seen.written {
                return;
            }
            places.append(&mut known.places);
        }
        let key = Some(name.as_bytes()).filter(|name| key == Some(*name)).map(<[u8]>::to_vec);
        let letter = Letter { name: name.clone(), key, facts, bytes, written: seen.written, newest: seen.place, places };
        self.0.insert(name, letter);
    }

    /// All of them, those first seen first.
    pub(super) fn by_age(&self) -> Vec<&Letter> {
        let mut letters: Vec<_> = self.0.values().collect();
        letters.sort_by_key(|letter| letter.since());
        letters
    }

    pub(super) fn find(&self, name: &str) -> Option<&Letter> {
        self.0.get(name)
    }

    /// The names that are most like this one.
    pub(super) fn near(&self, name: &str) -> Vec<String> {
        let (most, least) = NEAR;
        let mut near: Vec<_> = self.0.keys().map(|known| (strsim::jaro_winkler(known, name), known)).collect();
        near.retain(|(likeness, _)| *likeness >= least);
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        near.into_iter().take(most).map(|(_, known)| super::plain(known)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use facestream_schemas::dead_letter::Held;
    use facestream_schemas::{MessageKey, Offset};

    use super::*;

    pub(in super::super) fn facts(offset: i64, reason: &str, attempt: u32) -> Facts {
        Facts {
            original: MessageKey { topic: "cams".into(), partition: 0, offset: Offset(offset) },
            reason: reason.to_owned(),
            stage: "decode".to_owned(),
            error: "cut".to_owned(),
            source_id: "door".to_owned(),
            record_ts: Micros(offset),
            capture_ts: Micros(offset),
            first_seen: Micros(1_000 - offset),
            attempt,
            held: Held::Whole,
            value_bytes: Some(4),
            run_id: "run".to_owned(),
        }
    }

    /// A record of the topic: a letter of this reason, or a tombstone.
    fn seen<'a>(key: &'a str, (partition, offset): (i32, i64), reason: Option<&str>, written: i64) -> Seen<'a> {
        let original = key.rsplit('/').next().and_then(|offset| offset.parse().ok()).unwrap_or(0);
        Seen {
            place: Place { partition, offset },
            key: Some(key.as_bytes()),
            letter: reason.map(|reason| (4, Ok(facts(original, reason, 1)))),
            written: Micros(written),
        }
    }

    fn reasons(folded: &Folded) -> Vec<(&str, &str)> {
        folded.by_age().into_iter().map(|letter| (letter.name.as_str(), letter.reason())).collect()
    }

    #[test]
    fn of_each_key_the_newest_letter_counts_until_a_tombstone_ends_it() {
        let mut folded = Folded::default();
        folded.take(seen("cams/0/1", (0, 0), Some("old"), 10));
        folded.take(seen("cams/0/2", (0, 1), Some("other"), 11));
        folded.take(seen("cams/0/1", (0, 2), Some("new"), 5));
        assert_eq!(reasons(&folded), [("cams/0/2", "other"), ("cams/0/1", "new")], "by age");
        assert_eq!(folded.find("cams/0/1").unwrap().places, BTreeMap::from([(0, 2)]));
        folded.take(seen("cams/0/1", (0, 3), None, 12));
        folded.take(seen("cams/0/9", (0, 4), None, 13));
        assert_eq!(reasons(&folded), [("cams/0/2", "other")]);
        folded.take(seen("cams/0/1", (0, 5), Some("again"), 14));
        assert_eq!(folded.find("cams/0/1").unwrap().reason(), "again");
    }

    #[test]
    fn letters_of_one_original_in_two_partitions_are_one_until_both_are_ended() {
        for swapped in [false, true] {
            let mut folded = Folded::default();
            let mut records = vec![seen("cams/0/1", (0, 7), Some("old"), 10), seen("cams/0/1", (1, 3), Some("new"), 20)];
            if swapped {
                records.reverse();
            }
            for record in records {
                folded.take(record);
            }
            let letter = folded.find("cams/0/1").unwrap();
            assert_eq!((letter.reason(), letter.newest), ("new", Place { partition: 1, offset: 3 }));
            assert_eq!(letter.places, BTreeMap::from([(0, 7), (1, 3)]));
            folded.take(seen("cams/0/1", (1, 4), None, 30));
            assert!(folded.find("cams/0/1").is_some());
            folded.take(seen("cams/0/1", (0, 8), None, 31));
            assert!(folded.find("cams/0/1").is_none());
        }
    }

    #[test]
    fn a_letter_without_a_usable_key_is_named_by_its_place() {
        let mut folded = Folded::default();
        let long = "x".repeat(513);
        let hostile: [Option<&[u8]>; 4] = [None, Some(b"\xff"), Some(long.as_bytes()), Some(b"@0/0")];
        for (offset, key) in hostile.into_iter().enumerate() {
            let place = Place { partition: 0, offset: 10 + offset as i64 };
            folded.take(Seen { place, key, letter: Some((1, Err("bad".to_owned()))), written: Micros(offset as i64) });
        }
        let found: Vec<_> = folded.by_age().into_iter().map(|letter| (letter.name.clone(), letter.key.clone())).collect();
        assert_eq!(found, [10, 11, 12, 13].map(|offset| (format!("@0/{offset}"), None)));
    }

    #[test]
    fn a_mistyped_key_finds_what_is_near() {
        let mut folded = Folded::default();
        for offset in [17, 18, 4_711] {
            folded.take(seen(&format!("frames/0/{offset}"), (0, offset), Some("x"), 0));
        }
        assert_eq!(folded.near("frames/0/471")[0], "frames/0/4711");
        assert!(folded.near("zzz").is_empty());
    }
}
