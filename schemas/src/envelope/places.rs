//! Where in a body the fields are: the JSON pointers of [`Rules`] as a tree, so that one pass over the body finds them all.
//!
//! In: the pointers (RFC 6901: `~1` is a slash, `~0` a tilde, an array's members are named by their decimal index). Out: a tree
//! whose edges are names. Invariant: the tree grows with the configuration, never with a body.

use std::borrow::Cow;

use super::{Field, Rules};

/// A set of fields, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(u8);

impl Fields {
    fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }

    /// Its members.
    pub(super) fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.into_iter().filter(move |field| self.0 & (1 << *field as u8) != 0)
    }
}

/// A place in a body.
#[derive(Debug, Default)]
pub(super) struct Place<'r> {
    /// The fields that are here.
    pub(super) here: Fields,
    /// The fields that are here or further in.
    pub(super) within: Fields,
    children: Vec<(Cow<'r, str>, Self)>,
}

impl<'r> Place<'r> {
    /// The whole body, as the rules see it.
    pub(super) fn body(rules: &'r Rules) -> Self {
        let mut body = Self::default();
        for field in Field::ALL {
            match rules.pointers.get(&field) {
                None => body.add(field, std::iter::once(Cow::Borrowed(field.as_str()))),
                Some(pointer) => body.add(field, pointer.split('/').skip(1).map(unescaped)),
            }
        }
        body
    }

    fn add(&mut self, field: Field, mut path: impl Iterator<Item = Cow<'r, str>>) {
        self.within.insert(field);
        let Some(name) = path.next() else { return self.here.insert(field) };
        let at = self.children.iter().position(|(child, _)| *child == name).unwrap_or_else(|| {
            self.children.push((name, Self::default()));
            self.children.len() - 1
        });
        self.children[at].1.add(field, path);
    }

    /// Whether nothing further in is wanted.
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// What is wanted of the member of this name.
    pub(super) fn member(&self, name: &[u8]) -> Option<&Self> {
        self.children.iter().find(|(child, _)| child.as_bytes() == name).map(|(_, place)| place)
    }

    /// What is wanted of an array's member.
    pub(super) fn item(&self, index: usize) -> Option<&Self> {
        self.children.iter().find(|(child, _)| index_of(child) == Some(index)).map(|(_, place)| place)
    }

    /// How many of an array's members have to be looked at.
    pub(super) fn items(&self) -> usize {
        self.children.iter().filter_map(|(child, _)| index_of(child)).max().map_or(0, |last| last.saturating_add(1))
    }
}

/// Digits without leading zeros.
fn index_of(name: &str) -> Option<usize> {
    let is_index = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    is_index.then(|| name.parse().ok()).flatten()
}

fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') { Cow::Owned(token.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(token) }
}
