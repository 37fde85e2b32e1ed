//! `facestream metrics`: every metric that `facestream run` exports, as a reference table.
//!
//! In: the metrics' own declarations. Out: a table for people, Markdown (`deploy/metrics.md` holds it) or JSON. Invariant: nothing
//! is listed by hand.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::{grid, print};
use crate::metrics::{Described, Label, Metrics};

const EXAMPLES: &str = "Examples:
  facestream metrics
  facestream metrics --format markdown
  facestream metrics --format json | jq -r '.[].name'

A running process exports them at http://127.0.0.1:9464/metrics (http.listen).";

/// How wide help texts are in the table, in characters.
const HELP_WIDTH: u16 = 60;

/// List every metric that `run` exports: name, type, labels, unit, meaning
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How to write the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How the list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// A Markdown table
    Markdown,
    /// A JSON array
    Json,
}

/// Carries the command out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let described = metrics.described();
    let text = match args.format {
        Format::Table => table(described),
        Format::Markdown => markdown(described),
        Format::Json => serde_json::to_string_pretty(described)? + "\n",
    };
    print(text.trim_end())
}

fn table(described: &[Described]) -> String {
    let mut grid = grid(["name", "type", "labels", "unit", "meaning"]);
    for metric in described {
        let labels: Vec<_> = metric.labels.iter().map(|label| textwrap(&values(label, "|"))).collect();
        grid.add_row([&metric.name, metric.kind, &labels.join("\n"), metric.unit, &textwrap(&metric.help)]);
    }
    format!("{grid}\n")
}

fn markdown(described: &[Described]) -> String {
    let mut text = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n".to_owned();
    for metric in described {
        let label = |label: &Label| match &label.values[..] {
            [] => format!("`{}`", label.name),
            values => format!("`{}`: {}", label.name, values.join(", ")),
        };
        let labels = metric.labels.iter().map(label).collect::<Vec<_>>().join("; ");
        let Described { name, kind, unit, help, .. } = metric;
        let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {unit} | {} |", help.replace('|', "\\|"));
    }
    text
}

/// A label with its values, in so far as they are known.
fn values(label: &Label, between: &str) -> String {
    if label.values.is_empty() { label.name.to_owned() } else { format!("{}={}", label.name, label.values.join(between)) }
}

/// Lines of [`HELP_WIDTH`] characters, where there are spaces or bars to break them at.
fn textwrap(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_inclusive([' ', '|']) {
        if width > 0 && width + word.trim_end().len() > usize::from(HELP_WIDTH) {
            lines.push('\n');
            width = 0;
        }
        lines.push_str(word);
        width += word.len();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_lists_each_metric_once() {
        let metrics = Metrics::new();
        let described = metrics.described();
        let (table, markdown) = (table(described), markdown(described));
        assert_eq!(markdown.lines().count(), described.len() + 2);
        for metric in described {
            let in_table = table.lines().filter(|line| line.split_whitespace().next() == Some(&metric.name)).count();
            let in_markdown = markdown.lines().filter(|line| line.starts_with(&format!("| `{}` |", metric.name))).count();
            assert_eq!((in_table, in_markdown), (1, 1), "{}", metric.name);
        }
        let row = "| `facestream_late_frames_total` | counter | `outcome`: dropped, revised | number | Frames that came";
        assert!(markdown.contains(row), "{markdown}");
        assert!(markdown.contains("| `facestream_lag_seconds` | gauge | `topic`; `partition` | seconds | Age of"), "{markdown}");
        assert!(table.lines().all(|line| line.chars().count() < 240), "{table}");
    }
}
