//! What the live page costs while nobody looks at it.

use facestream_tests::{Kafka, scratch};
use toml::toml;

use super::{Run, config, median};

/// With the live page and without it, by turns; `/metrics` is read all the while.
pub(super) fn unwatched(kafka: &Kafka, topic: &str, frames: usize, pairs: usize) {
    let cpu_ms = |enabled: bool| {
        let folder = scratch();
        let mut config = config(kafka, topic, folder.path());
        config.insert("live".to_owned(), toml! { enabled = enabled }.into());
        Run::of(kafka, &config, frames).cpu_s * 1e3 / frames as f64
    };
    let mut columns: [Vec<f64>; 3] = Default::default();
    for pair in 1..=pairs {
        let (with, without) = (cpu_ms(true), cpu_ms(false));
        eprintln!("  pair {pair}: {with:.3} ms of CPU a frame with the live page and nobody looking, {without:.3} without it");
        columns.iter_mut().zip([with, without, with / without]).for_each(|(column, value)| column.push(value));
    }
    let [with, without, ratio] = columns.map(median);
    eprintln!(
        "  live page, nobody looking: {with:.2} ms of CPU a frame, without it {without:.2}; medians of {pairs}, of their ratios \
         {ratio:.3} (target 1.03, with what metrics cost)"
    );
}
