//! Cameras that send JPEGs over HTTP, one after the other without end (MJPEG).
//!
//! In: an address. Out: frames as they come. Invariant: a stream that breaks is opened again, each time later, until it was
//! tried in vain as often as was asked for; then it is given up, and said so.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use url::Url;

use super::outlet::Outlet;
use super::parts::{Part, Parts};
use super::patience::Patience;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A camera that shows nothing for so long is taken for dead.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a stream is not read any more.
enum Ended {
    /// Nobody wants it.
    Stopped,
    /// It may come back.
    Broken(String),
    /// It is no stream of frames.
    Hopeless(String),
}

/// Sends on what the camera at `url` shows, until nobody wants it or it is gone for good.
pub(super) fn send(url: &Url, outlet: &mut Outlet) {
    let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return outlet.unreadable(format_args!("{}: {}", outlet.name, causes(&error))),
    };
    let mut patience = Patience::new(outlet.manner.attempts);
    loop {
        let ended = match outlet.stop.block_on(open(&client, url)) {
            None => Ended::Stopped,
            Some(Err(ended)) => ended,
            Some(Ok((response, content_type))) => watch(response, &content_type, outlet, &mut patience),
        };
        match ended {
            Ended::Stopped => return,
            Ended::Hopeless(why) => return outlet.unreadable(format_args!("{}: {why}", outlet.name)),
            Ended::Broken(why) => {
                let Some(delay) = patience.failed() else {
                    let (name, attempts) = (&outlet.name, outlet.manner.attempts);
                    return outlet.unreadable(format_args!("{name}: given up after {attempts} attempts (--attempts): {why}"));
                };
                outlet.note(format_args!("{}: {why}; next attempt in {:.1} s", outlet.name, delay.as_secs_f64()));
                if !outlet.stop.wait(delay) {
                    return;
                }
            }
        }
    }
}

async fn open(client: &Client, url: &Url) -> Result<(Response, String), Ended> {
    let response = client.get(url.clone()).send().await.map_err(|error| Ended::Broken(causes(&error)))?;
    if !response.status().is_success() {
        return Err(Ended::Broken(format!("it answers {}", response.status())));
    }
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if content_type.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        Ok((response, content_type))
    } else {
        let why =
            format!("it sends {content_type:?}, expected multipart/x-mixed-replace: is this the address of its MJPEG stream?");
        Err(Ended::Hopeless(why))
    }
}

fn watch(mut response: Response, content_type: &str, outlet: &mut Outlet, patience: &mut Patience) -> Ended {
    let mut parts = Parts::new(content_type, outlet.manner.max_bytes);
    loop {
        match outlet.stop.block_on(response.chunk()) {
            None => return Ended::Stopped,
            Some(Err(error)) => return Ended::Broken(causes(&error)),
            Some(Ok(None)) => return Ended::Broken("the stream has ended".to_owned()),
            Some(Ok(Some(chunk))) => parts.push(&chunk),
        }
        loop {
            match parts.next() {
                Ok(None) => break,
                Ok(Some(Part::End)) => return Ended::Broken("the camera has ended the stream".to_owned()),
                Err(error) => return Ended::Broken(error.to_string()),
                Ok(Some(Part::TooLarge)) => {
                    let limit = outlet.manner.max_bytes;
                    outlet.unreadable(format_args!("{}: a frame has more than {limit} bytes (envelope.max_bytes)", outlet.name));
                }
                Ok(Some(Part::Whole { body, captured_ns })) => {
                    patience.succeeded();
                    if !frame(body, captured_ns, outlet) {
                        return Ended::Stopped;
                    }
                }
            }
        }
    }
}

/// False if there is no use in going on.
fn frame(body: Vec<u8>, captured_ns: Option<i64>, outlet: &mut Outlet) -> bool {
    if outlet.is_surplus() {
        return !outlet.is_stopped();
    }
    match outlet.retouched(body) {
        Ok(image) => outlet.offer_live(captured_ns, image),
        Err(error) => {
            outlet.unreadable(format_args!("{}: {error}", outlet.name));
            !outlet.is_stopped()
        }
    }
}

/// An error with what is behind it, without the address, which may hold a password.
fn causes(error: &reqwest::Error) -> String {
    let mut text = match () {
        () if error.is_timeout() => "it does not answer in time".to_owned(),
        () if error.is_connect() => "cannot connect".to_owned(),
        () => "cannot read the stream".to_owned(),
    };
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
