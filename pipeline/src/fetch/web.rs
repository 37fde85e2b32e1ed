//! Pictures on web servers.
//!
//! In: a URL that is allowed. Out: the answer, its body unread. Invariants: only GET, over connections to checked addresses
//! ([`super::resolver`]), past no proxy; each redirect is checked like the first URL; bodies are taken as they are, never
//! unpacked.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Allowed, shown};
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use url::Url;

use super::body::{Body, Opened};
use super::failure::{Failure, causes};
use super::resolver::{Checked, NotPublic};
use crate::clock::now;

const MOST_REDIRECTS: usize = 3;
/// A server that wants to be left alone for longer is asked sooner.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// The client, with its connections.
pub(super) struct Web(Client);

impl Web {
    /// A client that keeps up to `connections` open to each host.
    pub(super) fn new(resolver: Checked, connections: usize) -> Result<Self, reqwest::Error> {
        Client::builder()
            .user_agent(concat!("facestream/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            // With HTTP/2, pictures that wait for memory would hold up others on their connection.
            .http1_only()
            .pool_max_idle_per_host(connections)
            .build()
            .map(Self)
    }

    /// The answer to a GET, after redirects.
    pub(super) async fn open(&self, url: &Url, allowed: &Allowed) -> Result<Opened, Failure> {
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.0.get(at.clone()).send().await.map_err(|error| failure(&at, "cannot get it", &error))?;
            let Some(location) = redirect_of(&answer) else { return opened(&at, answer) };
            at = allowed.redirect(&at, &location).map_err(Failure::refused)?;
        }
        Err(Failure::error(format_args!("{}: redirects more than {MOST_REDIRECTS} times", shown(url))))
    }
}

/// Where the server says that the picture is.
fn redirect_of(answer: &Response) -> Option<String> {
    let redirects = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers().get(LOCATION).filter(|_| redirects)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

fn opened(url: &Url, answer: Response) -> Result<Opened, Failure> {
    let status = answer.status();
    let answered = || format!("{}: the server answered {status}", shown(url));
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failure::expired(answered())),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failure::Transient { why: answered(), after: retry_after(answer.headers()) });
        }
        _ if status.is_server_error() => {
            return Err(Failure::Transient { why: answered(), after: retry_after(answer.headers()) });
        }
        _ => return Err(Failure::error(answered())),
    }
    let packed = answer.headers().get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if let Some(encoding) = packed {
        let text = "the server packs it although it was not asked to, as";
        return Err(Failure::error(format_args!("{}: {text} {encoding:?}", shown(url))));
    }
    let length = answer.content_length();
    let url = url.clone();
    let body = answer.bytes_stream().map_err(move |error| failure(&url, "the body broke off", &error)).boxed();
    Ok(Opened { length, body: Body::Stream(body) })
}

/// The client's error, in the words of what is at the bottom of it: those above quote the whole URL.
fn failure(url: &Url, what: &str, error: &reqwest::Error) -> Failure {
    let (mut refused, mut bottom) = (false, String::new());
    for cause in causes(error).skip(1) {
        refused |= cause.is::<NotPublic>();
        bottom = cause.to_string();
    }
    let why = format!("{}: {what}: {bottom}", shown(url));
    match () {
        () if refused => Failure::refused(why),
        () if error.is_builder() => Failure::error(why),
        () => Failure::transient(why),
    }
}

/// How long the server wants to be left alone: a number of seconds, or a time.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = text.parse().map(Duration::from_secs).ok();
    let until = || {
        let until = DateTime::parse_from_rfc2822(text).ok()?.timestamp_micros();
        Some(Duration::from_micros(u64::try_from(until - now().0).unwrap_or_default()))
    };
    seconds.or_else(until).map(|after| after.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
        retry_after(&headers)
    }

    #[test]
    fn a_server_is_left_alone_as_long_as_it_asks_within_reason() {
        assert_eq!(after("2"), Some(Duration::from_secs(2)));
        assert_eq!(after("86400"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("Wed, 21 Oct 2150 07:28:00 GMT"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
