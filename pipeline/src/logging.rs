//! Logging, to stderr: for people on a terminal, one JSON object a line elsewhere.
//!
//! In: `[log]`. Out: the process's tracing subscriber. Invariant: stdout is left to what commands print.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat};

/// Crates whose logs a lone level such as `debug` is meant for; the others are quiet unless they warn.
const OURS: [&str; 4] = ["facestream", "facestream_stages", "facestream_schemas", "librdkafka"];

/// Sets the process's logging up, once. `log.level` has been checked by the configuration's rules.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(directives(&log.level))?;
    let is_json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = if is_json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    set.map_err(anyhow::Error::from_boxed)
}

/// A lone level is spread over our crates; anything else is taken as it is.
fn directives(level: &str) -> String {
    match level.parse::<LevelFilter>() {
        Ok(plain) if plain > LevelFilter::WARN => {
            OURS.iter().fold("warn".to_owned(), |directives, name| format!("{directives},{name}={plain}"))
        }
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_level_is_for_our_crates_and_directives_are_as_given() {
        let info = "warn,facestream=info,facestream_stages=info,facestream_schemas=info,librdkafka=info";
        assert_eq!(directives("info"), info);
        assert_eq!(directives("error"), "error");
        assert_eq!(directives("off"), "off");
        assert_eq!(directives("info,h2=trace"), "info,h2=trace");
    }
}
