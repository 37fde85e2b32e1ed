//! Failpoints: places where a test has the process die or freeze, as if the machine had at the worst moment.
//!
//! In: `FACESTREAM_FAILPOINT="NAME=ACTION@N"` in the environment, read once: at the `N`-th time that the place `NAME` is reached
//! the process kills (`kill`) or freezes (`stop`) itself. Without the variable a failpoint does nothing.
//! Places: `after-append` (won, not yet reported or committed), `between-files` (of one publish), `before-commit` (of offsets to
//! Kafka), `in-revoke` (in the rebalance callback), `mid-recovery` (before the takeover's record), `frame:ID`
//! (a worker is about to decode the frame of this `frame_id`).

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

const VARIABLE: &str = "FACESTREAM_FAILPOINT";

#[derive(Debug, PartialEq)]
struct Failpoint {
    name: String,
    signal: Signal,
    at: u64,
}

static SET: LazyLock<Option<Failpoint>> = LazyLock::new(|| {
    let text = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())?;
    let parsed = parse(&text);
    if let Some(set) = &parsed {
        tracing::warn!("{VARIABLE}: the process will signal {:?} to itself at {}, time {}", set.signal, set.name, set.at);
    } else {
        tracing::error!("{VARIABLE}={text} is not NAME=kill@N or NAME=stop@N, ignored");
    }
    parsed
});
static REACHED: AtomicU64 = AtomicU64::new(0);

fn parse(text: &str) -> Option<Failpoint> {
    let (name, action) = text.split_once('=')?;
    let (action, at) = action.split_once('@')?;
    let signal = match action {
        "kill" => Signal::KILL,
        "stop" => Signal::STOP,
        _ => return None,
    };
    Some(Failpoint { name: name.to_owned(), signal, at: at.parse().ok()? })
}

/// Marks a place. Does nothing unless this very place and time were asked for.
pub fn hit(name: &str) {
    hit_at(|| name);
}

/// Marks a place whose name is only made where any failpoint is set.
pub fn hit_at<S: AsRef<str>>(name: impl FnOnce() -> S) {
    if let Some(set) = SET.as_ref()
        && name().as_ref() == set.name
        && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == set.at
        && let Err(error) = kill_process(getpid(), set.signal)
    {
        tracing::error!("{VARIABLE}: cannot signal {:?}: {error}", set.signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_failpoint_is_one() {
        let expected = Failpoint { name: "after-append".to_owned(), signal: Signal::KILL, at: 3 };
        assert_eq!(parse("after-append=kill@3"), Some(expected));
        assert!(parse("in-revoke=stop@1").is_some());
        for wrong in ["", "after-append", "after-append=kill", "after-append=explode@1", "after-append=kill@x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
