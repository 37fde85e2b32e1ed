//! What it was measured on: figures mean nothing without it.

use std::fs;

use serde::Serialize;

/// This machine, as far as it says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Machine {
    /// The processor's name.
    pub(super) cpu: String,
    /// Cores that this process may use; a container's limit counts.
    pub(super) cores: usize,
    pub(super) memory_bytes: u64,
    /// Processes that ran or wanted to on average of the minute before: well above 0, it was not alone.
    pub(super) load_1m: f64,
}

impl Machine {
    pub(super) fn of_process() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory_kib = value(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.strip_suffix(" kB")?.trim().parse().ok());
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_kib.unwrap_or(0_u64) * 1024,
            load_1m: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// The first value of a file of `name: value` lines.
fn value(text: &str, name: &str) -> Option<String> {
    let named = text.lines().filter_map(|line| line.split_once(':')).find(|(found, _)| found.trim() == name);
    named.map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "model\t\t: 17\nmodel name\t: AMD EPYC: x\nmodel name\t: other\n";
        assert_eq!(value(text, "model name").as_deref(), Some("AMD EPYC: x"));
        assert_eq!(value(text, "name"), None);
    }
}
