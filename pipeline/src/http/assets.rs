//! The live page's files, inside the binary.
//!
//! In: `pipeline/assets`. Out: answers. Invariant: every file of `assets/live` is served under its own name, at the top (tested);
//! the two that are pages are at `/` and `/login`.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse};

/// A file that is served as it is.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    pub(super) fn answer(&'static self) -> impl IntoResponse + use<> {
        ([(header::CONTENT_TYPE, self.content_type)], self.text)
    }
}

macro_rules! asset {
    ($name:literal, $content_type:literal) => {
        Asset { name: $name, content_type: $content_type, text: include_str!(concat!("../../assets/live/", $name)) }
    };
}

/// Everything but the two pages: one line a file.
pub(super) static FILES: &[Asset] = &[
    asset!("live.css", "text/css; charset=utf-8"),
    asset!("login.css", "text/css; charset=utf-8"),
    asset!("favicon.svg", "image/svg+xml"),
    asset!("cameras.js", "text/javascript; charset=utf-8"),
    asset!("chart.js", "text/javascript; charset=utf-8"),
    asset!("choices.js", "text/javascript; charset=utf-8"),
    asset!("clock.js", "text/javascript; charset=utf-8"),
    asset!("connection.js", "text/javascript; charset=utf-8"),
    asset!("dom.js", "text/javascript; charset=utf-8"),
    asset!("format.js", "text/javascript; charset=utf-8"),
    asset!("live.js", "text/javascript; charset=utf-8"),
    asset!("pictures.js", "text/javascript; charset=utf-8"),
    asset!("summary.js", "text/javascript; charset=utf-8"),
    asset!("tables.js", "text/javascript; charset=utf-8"),
    asset!("trends.js", "text/javascript; charset=utf-8"),
    asset!("trouble.js", "text/javascript; charset=utf-8"),
    asset!("viewer.js", "text/javascript; charset=utf-8"),
];

/// Files that anybody may have: the log-in form needs them.
pub(super) const OPEN: [&str; 2] = ["/login.css", "/favicon.svg"];

const PAGE: &str = include_str!("../../assets/live/index.html");
const LOGIN: &str = include_str!("../../assets/live/login.html");
const OPENAPI: &str = include_str!("../../assets/openapi.json");

pub(super) fn page() -> impl IntoResponse {
    Html(PAGE)
}

/// The log-in form with a message, which is text of ours.
pub(super) fn login(error: &'static str) -> impl IntoResponse {
    Html(LOGIN.replace("{{error}}", error))
}

pub(super) async fn openapi() -> impl IntoResponse {
    let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    (json, OPENAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/live");
        let found: BTreeSet<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let pages = ["index.html", "login.html"].map(str::to_owned);
        let served: BTreeSet<_> = FILES.iter().map(|asset| asset.name.to_owned()).chain(pages).collect();
        assert_eq!(found, served);
    }

    #[test]
    fn the_form_has_a_place_for_a_message() {
        assert!(LOGIN.contains("{{error}}"));
    }
}
