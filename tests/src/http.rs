//! HTTP as it is: no redirect is followed, no status is an error.
//!
//! In: requests. Out: status, headers and body of the answer, whatever it is; an error only where there is none.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Response};

/// No answer takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Every header.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder().timeout_global(Some(LIMIT)).max_redirects(0).http_status_as_error(false);
    config.build().new_agent()
}

/// GET without anything else.
pub fn get(url: &str) -> Result<Answer, String> {
    ask("GET", url, &[], None)
}

/// Any request; with a form, that is sent as browsers do.
pub fn ask(method: &str, url: &str, headers: &[(&str, &str)], form: Option<&str>) -> Result<Answer, String> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let failed = |error: &dyn std::fmt::Display| format!("{method} {url}: {error}");
    let answer = match form {
        Some(form) => {
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
            agent().run(request.map_err(|error| failed(&error))?)
        }
        None => agent().run(request.body(()).map_err(|error| failed(&error))?),
    };
    let answer: Response<ureq::Body> = answer.map_err(|error| failed(&error))?;
    let (parts, mut body) = answer.into_parts();
    let body = body.read_to_vec().map_err(|error| failed(&error))?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// The first events of an event stream: name and data of each.
pub fn events(url: &str, headers: &[(&str, &str)], count: usize) -> Result<Vec<(String, String)>, String> {
    let mut request = agent().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.call().map_err(|error| format!("{url}: {error}"))?;
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), String::new());
    for line in BufReader::new(answer.into_body().into_reader()).lines() {
        let line = line.map_err(|error| format!("{url}: {error}"))?;
        match line.split_once(": ") {
            Some(("event", value)) => value.clone_into(&mut name),
            Some(("data", value)) => value.clone_into(&mut data),
            _ if line.is_empty() => events.push((std::mem::take(&mut name), std::mem::take(&mut data))),
            _ => return Err(format!("{url}: an event stream has no line {line:?}")),
        }
        if events.len() == count {
            return Ok(events);
        }
    }
    Err(format!("{url}: it ended after {} events", events.len()))
}
