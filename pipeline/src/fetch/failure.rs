//! Why a picture was not fetched, by what is done about it.

use std::error::Error;
use std::time::Duration;

use facestream_schemas::{Reason, Rejection};

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It will not be different the next time.
    Final(Rejection),
    /// Trying again may help.
    Transient {
        /// What went wrong, and where.
        why: String,
        /// How long the other side wants to be left alone.
        after: Option<Duration>,
    },
    /// There is no room in memory for this many bytes.
    NoRoom(usize),
}

impl Failure {
    pub(super) fn transient(why: String) -> Self {
        Self::Transient { why, after: None }
    }

    pub(super) fn error(why: impl std::fmt::Display) -> Self {
        Self::Final(Rejection::new(Reason::FetchError, why))
    }

    pub(super) fn refused(why: impl std::fmt::Display) -> Self {
        Self::Final(Rejection::new(Reason::FetchRefused, why))
    }

    pub(super) fn expired(why: impl std::fmt::Display) -> Self {
        Self::Final(Rejection::new(Reason::Expired, why))
    }

    pub(super) fn too_large(why: impl std::fmt::Display) -> Self {
        Self::Final(Rejection::new(Reason::TooLarge, why))
    }
}

/// The error and what it is due to.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
}

/// A client's words on one line, without the queries of any URIs, which may hold secrets.
pub(super) fn without_queries(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.find("://").and_then(|at| word[at..].find('?').map(|q| at + q)) {
        Some(query) => &word[..query],
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_words_lose_their_queries_and_keep_the_rest() {
        let text = "Error performing GET https://host/c/a.jpg?sig=secret%3D&x=1 in 3ms\n  - really? 403";
        assert_eq!(without_queries(text), "Error performing GET https://host/c/a.jpg in 3ms - really? 403");
        assert_eq!(without_queries("(what?http://h/p?token=1)"), "(what?http://h/p");
    }
}
