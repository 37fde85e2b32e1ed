//! Who may see it: whoever has the token, as a bearer or, in a browser, by a session that a log-in began.
//!
//! In: requests. Out: the request goes on, or 401, or the way to the log-in form. Invariant: with a token, only [`OPEN`] answers
//! without it. Without one, a server that only listens on the loopback answers only to addresses and to `localhost`, so that no page
//! from elsewhere can reach it under a name of its own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{Mutex, Semaphore};

use super::assets;
use super::session::{LASTS_S, Sessions};
use crate::clock::now;
use crate::config::Secret;

/// Open to everybody, besides the files that the form needs.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/login"];
/// Where a browser is sent to log in.
const PAGES: [&str; 2] = ["/", "/logout"];
const COOKIE: &str = "facestream_session";
/// The largest form that is read, in bytes.
const FORM_BYTES: usize = 4_096;
/// How long a form may take to come in.
const FORM_TIME: Duration = Duration::from_secs(10);
/// The next log-in after a wrong one has to wait for so long.
const AFTER_A_WRONG_ONE: Duration = Duration::from_secs(1);
/// Log-ins that wait for their turn.
const IN_LINE: usize = 8;

/// The token, and the line of those who try to log in.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` where no token is configured.
    sessions: Option<Sessions>,
    only_loopback: bool,
    line: Semaphore,
    turn: Mutex<()>,
}

impl Access {
    /// Asks for `token`, if it is not empty. `only_loopback`: nobody else can connect.
    #[must_use]
    pub fn new(token: &Secret, only_loopback: bool) -> Self {
        let sessions = (!token.is_empty()).then(|| Sessions::new(token.reveal()));
        Self(Arc::new(Inner { sessions, only_loopback, line: Semaphore::new(IN_LINE), turn: Mutex::new(()) }))
    }

    /// Whether anybody is asked for a token.
    pub(super) fn asks(&self) -> bool {
        self.0.sessions.is_some()
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let Some(sessions) = &self.0.sessions else { return true };
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        bearer.is_some_and(|token| sessions.is_token(token))
            || session_of(headers).any(|session| sessions.is_valid(session, now_s()))
    }

    /// Without a token, a page from elsewhere whose name was made to mean this machine must not read what is here.
    fn is_misdirected(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        self.0.sessions.is_none() && self.0.only_loopback && !is_own_name(host)
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn session_of(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Whether `host`, with or without a port, is an address, `localhost`, or nothing.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_localhost = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    name.is_empty() || is_localhost || name.parse::<IpAddr>().is_ok()
}

fn now_s() -> u64 {
    u64::try_from(now().0 / 1_000_000).unwrap_or_default()
}

/// Lets a request through or answers it.
pub(super) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = OPEN.contains(&path) || assets::OPEN.contains(&path);
    if access.is_misdirected(request.headers()) && !is_open {
        let text = "this name is not this server's: use its address or localhost, or set http.token\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    if is_open || access.allows(request.headers()) {
        return next.run(request).await;
    }
    if PAGES.contains(&path) {
        return see_other("login");
    }
    let text = "log in at /login, or send the header Authorization: Bearer with the token (http.token)\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
}

/// Relative, so that a proxy may serve all of this below a path of its own.
fn see_other(location: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// The form; where no token is asked for, or the visitor is logged in, the page itself.
pub(super) async fn form(State(access): State<Access>, headers: HeaderMap) -> Response {
    if access.allows(&headers) { see_other("./") } else { assets::login("").into_response() }
}

/// The token lets in at once. Wrong ones take their turn, one a second, so that guessing takes for ever and locks nobody out.
pub(super) async fn log_in(State(access): State<Access>, headers: HeaderMap, body: Body) -> Response {
    let Some(sessions) = &access.0.sessions else { return see_other("./") };
    let Some(token) = token_of(body).await else {
        return (StatusCode::BAD_REQUEST, assets::login("That was no log-in form.")).into_response();
    };
    if sessions.is_token(token.as_bytes()) {
        let cookie = cookie(&sessions.begin(now_s()), LASTS_S, &headers);
        return ([(header::SET_COOKIE, cookie)], see_other("./")).into_response();
    }
    let Ok(_place) = access.0.line.try_acquire() else {
        let text = "Too many are logging in at once. Try again in a moment.";
        return (StatusCode::TOO_MANY_REQUESTS, assets::login(text)).into_response();
    };
    let _turn = access.0.turn.lock().await;
    tracing::warn!("somebody tried to log in to the live page with a wrong token");
    tokio::time::sleep(AFTER_A_WRONG_ONE).await;
    (StatusCode::UNAUTHORIZED, assets::login("That is not the token.")).into_response()
}

/// Has the browser forget its session. It proves nothing afterwards only there: nothing is stored here.
pub(super) async fn log_out(headers: HeaderMap) -> Response {
    ([(header::SET_COOKIE, cookie("", 0, &headers))], see_other("login")).into_response()
}

fn cookie(session: &str, lasts_s: u64, headers: &HeaderMap) -> String {
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok()).and_then(|all| all.split(',').next());
    let secure = if scheme.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https")) { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Strict{secure}")
}

/// The field `token` of a form.
async fn token_of(body: Body) -> Option<String> {
    let form = tokio::time::timeout(FORM_TIME, axum::body::to_bytes(body, FORM_BYTES)).await.ok()?.ok()?;
    let token = url::form_urlencoded::parse(&form).find(|(name, _)| name == "token")?.1;
    Some(token.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn names_that_anybody_can_give_this_machine_are_not_its_own() {
        for own in ["localhost", "LOCALHOST:9464", "127.0.0.1:80", "[::1]:9464", "[::1]", "10.1.2.3", "a.localhost:1", ""] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in ["example.com", "example.com:9464", "localhost.example.com", "127.0.0.1.example.com:80", "[example]:1"] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_bearer_is_told_by_its_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b"Basic abc"[..], b"Bearer", b"", b"Bearerabc"] {
            assert_eq!(bearer(other), None);
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; facestream_session=1.2; c"));
        headers.append(header::COOKIE, HeaderValue::from_static("xfacestream_session=3; facestream_session=4"));
        assert_eq!(session_of(&headers).collect::<Vec<_>>(), ["1.2", "4"]);
    }

    #[test]
    fn a_cookie_is_secure_where_the_browser_came_by_https() {
        let mut headers = HeaderMap::new();
        let plain = "facestream_session=1.2; Path=/; Max-Age=9; HttpOnly; SameSite=Strict";
        assert_eq!(cookie("1.2", 9, &headers), plain);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("HTTPS, http"));
        assert_eq!(cookie("1.2", 9, &headers), format!("{plain}; Secure"));
    }
}
