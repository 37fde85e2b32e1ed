//! What expressions ask for, as Prometheus's own parser sees it.
//!
//! In: expressions without Grafana's variables. Out: for each the parser's error, or its selectors and the labels it groups by, joins on
//! or takes over. Needs `deploy/tools/promql`, which only Go builds.

use std::io::Write as _;
use std::process::{Command, Stdio};

use facestream_tests::deploy_tool;
use serde::Deserialize;

/// What `deploy/tools/promql` says of one expression.
#[derive(Debug, Deserialize)]
pub(super) struct Facts {
    pub(super) error: String,
    pub(super) kind: String,
    pub(super) selectors: Vec<Selector>,
    pub(super) uses: Vec<Use>,
}

/// A series selector.
#[derive(Debug, Deserialize)]
pub(super) struct Selector {
    pub(super) metric: String,
    pub(super) matchers: Vec<Matcher>,
    pub(super) range_ms: u64,
    /// The function that it is the argument of; empty where there is none.
    pub(super) call: String,
}

/// A condition on a label.
#[derive(Debug, Deserialize)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) op: String,
    pub(super) value: String,
}

/// Labels that must be there on one of the metrics below, unless they are made there.
#[derive(Debug, Deserialize)]
pub(super) struct Use {
    pub(super) what: String,
    pub(super) labels: Vec<String>,
    pub(super) metrics: Vec<String>,
    pub(super) made: Vec<String>,
}

/// What the parser says of each expression; `None`, and SKIPPED on the terminal, where Go did not build the program.
pub(super) fn facts(expressions: &[String]) -> Option<Vec<Facts>> {
    let Some(program) = deploy_tool("promql") else {
        eprintln!("SKIPPED: what only deploy/tools/promql can say of PromQL; it needs Go (see deploy/setup.sh)");
        return None;
    };
    let mut command = Command::new(program);
    let mut parser = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting promql");
    let mut input = parser.stdin.take().expect("its input");
    input.write_all(&serde_json::to_vec(expressions).expect("JSON")).expect("writing expressions");
    drop(input);
    let output = parser.wait_with_output().expect("promql's end");
    assert!(output.status.success(), "{output:?}");
    let facts: Vec<Facts> = serde_json::from_slice(&output.stdout).expect("facts as JSON");
    assert_eq!(facts.len(), expressions.len());
    Some(facts)
}

#[test]
fn the_parser_refuses_what_is_misspelt_and_sees_what_is_asked_for() {
    let expressions = [
        "raet(a_total[5m])",
        "sum by (topic) (rate(a_total{job=~\"x|y\"}[1m])) / on (job) group_left (version) b",
        "sum by (topic) (rate(a_total[5m])",
    ];
    let Some(facts) = facts(&expressions.map(str::to_owned)) else { return };
    assert!(facts[0].error.contains("raet"), "{:?}", facts[0]);
    assert!(!facts[2].error.is_empty());
    assert_eq!((facts[1].error.as_str(), facts[1].kind.as_str()), ("", "vector"));
    let [a, b] = &facts[1].selectors[..] else { panic!("{:?}", facts[1]) };
    assert_eq!((a.metric.as_str(), a.range_ms, a.call.as_str()), ("a_total", 60_000, "rate"));
    assert_eq!((b.metric.as_str(), b.range_ms, b.call.as_str()), ("b", 0, ""));
    let [matcher] = &a.matchers[..] else { panic!("{a:?}") };
    assert_eq!([matcher.label.as_str(), &matcher.op, &matcher.value], ["job", "=~", "x|y"]);
    let uses: Vec<_> =
        facts[1].uses.iter().map(|found| (found.what.as_str(), found.labels.join(","), found.metrics.join(","))).collect();
    let expected = [("on", "job", "a_total"), ("on", "job", "b"), ("include", "version", "b"), ("by", "topic", "a_total")];
    assert_eq!(uses, expected.map(|(what, labels, metrics)| (what, labels.to_owned(), metrics.to_owned())));
}
