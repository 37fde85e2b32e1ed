//! What dashboards and rules ask for is there after a real run: each metric and label is exported, no panel is empty, no rule
//! fails, and none fires.

use std::collections::BTreeMap;

use facestream_tests::Prometheus;
use serde_json::Value;

use super::dashboards::{Dashboard, all, text};
use super::exported::Exported;
use super::fill::Filled;
use super::promql::{Facts, facts};
use super::rules::rules;
use super::run::Run;

/// Queries of panels that have no data in a healthy run, and why. Whatever is not here must have some.
const EMPTY: [(&str, &str); 0] = [];

#[test]
fn what_panels_variables_and_rules_ask_for_is_exported_and_no_panel_is_empty_after_a_real_run() {
    let run = Run::whole();
    let filled = Filled {
        job: "facestream".to_owned(),
        instance: run.instances.clone(),
        topic: run.topic.clone(),
        rate_interval_s: 5 * Prometheus::EVERY_S,
        range_s: (run.to_s - run.from_s) as u32,
    };
    nothing_is_asked_in_vain(&run, &filled);
    variables_have_values(&run, &filled);
    no_panel_is_empty(&run, &filled);
    rules_are_evaluated_and_none_fires(&run);
}

/// Every expression, with the place that it stands in: of panels, marks, variables and rules.
fn expressions(filled: &Filled) -> Vec<(String, String)> {
    let dashboards = all();
    let asked = dashboards.iter().flat_map(Dashboard::asked).map(|asked| (asked.place, filled.expression(&asked.expression)));
    let variables = dashboards.iter().flat_map(|dashboard| {
        dashboard.label_values().into_iter().map(|(selector, label)| {
            // The label must be there as if it were grouped by.
            (format!("{}: variable {label}", dashboard.title()), format!("count by ({label}) ({})", filled.expression(&selector)))
        })
    });
    let rules = rules().into_iter().map(|(name, rule)| (name, text(&rule["expr"]).to_owned()));
    asked.chain(variables).chain(rules).collect()
}

fn nothing_is_asked_in_vain(run: &Run, filled: &Filled) {
    let exported = Exported::to(&run.prometheus, run.from_s, run.to_s);
    assert!(exported.metrics().filter(|name| name.starts_with("facestream_")).count() > 50);
    let expressions = expressions(filled);
    let texts: Vec<_> = expressions.iter().map(|(_, expression)| expression.clone()).collect();
    let Some(parsed) = facts(&texts) else { return };
    let missing =
        |(place, facts): (&String, &Facts)| exported.missing(facts).into_iter().map(|what| format!("{place}: {what}")).collect();
    let vain: Vec<Vec<String>> = expressions.iter().map(|(place, _)| place).zip(&parsed).map(missing).collect();
    let vain: Vec<_> = vain.into_iter().flatten().collect();
    assert!(vain.is_empty(), "asked for in vain:\n{}", vain.join("\n"));

    let broken = [
        "sum(raet(facestream_records_total[5m]))",
        "sum(rate(facestream_recrods_total[5m]))",
        "sum by (topik) (facestream_lag_seconds)",
        "facestream_lag_seconds{partiton=\"0\"}",
        "rate(facestream_frames_total{status=\"fine\"}[5m])",
        "facestream_lag_seconds / on (topik) facestream_lag_records",
        "rate(facestream_lag_seconds[5m])",
        "sum(facestream_records_total)",
    ];
    for (expression, facts) in broken.iter().zip(facts(&broken.map(str::to_owned)).expect("the parser")) {
        assert!(!exported.missing(&facts).is_empty(), "{expression} is accepted");
    }
}

fn variables_have_values(run: &Run, filled: &Filled) {
    let (from, to) = (run.from_s.to_string(), run.to_s.to_string());
    for (selector, label) in all().iter().flat_map(Dashboard::label_values) {
        let selector = filled.expression(&selector);
        let parameters = [("match[]", selector.as_str()), ("start", from.as_str()), ("end", to.as_str())];
        let values = run.prometheus.ask(&format!("label/{label}/values"), &parameters);
        assert!(values.as_array().is_some_and(|values| !values.is_empty()), "no {label} of {selector}");
    }
}

fn no_panel_is_empty(run: &Run, filled: &Filled) {
    let mut faults = Vec::new();
    let mut empty = BTreeMap::from(EMPTY);
    for asked in all().iter().flat_map(Dashboard::asked) {
        let series = run.asked(&asked, filled);
        let numbers = series.iter().flat_map(|series| &series.samples).filter(|(_, value)| value.is_finite()).count();
        match (numbers, empty.remove(asked.place.as_str())) {
            (0, None) => faults.push(format!("{} is empty: {}", asked.place, filled.expression(&asked.expression))),
            (1.., Some(reason)) => faults.push(format!("{} has data, although {reason}", asked.place)),
            _ => {}
        }
        let labels = asked.legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        let unnamed = labels.filter(|label| !series.iter().all(|series| series.labels.contains_key(*label)));
        faults.extend(unnamed.map(|label| format!("{}: a series without the label {label} of its name", asked.place)));
        // A number in large type is one number.
        if asked.kind == "stat" && series.len() > 1 {
            faults.push(format!("{} has {} series", asked.place, series.len()));
        }
    }
    faults.extend(empty.keys().map(|place| format!("{place} is not there, and need not be listed as empty")));
    assert!(faults.is_empty(), "{} of the panels:\n{}", faults.len(), faults.join("\n"));
}

fn rules_are_evaluated_and_none_fires(run: &Run) {
    let groups = run.prometheus.ask("rules", &[]);
    let evaluated: Vec<_> =
        groups["groups"].as_array().expect("groups").iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    assert_eq!(evaluated.len(), rules().len());
    for rule in evaluated {
        assert_eq!((&rule["health"], &rule["lastError"]), (&"ok".into(), &Value::Null), "{rule}");
        assert_ne!(rule["state"], "firing", "{rule}");
        if rule["type"] == "recording" {
            let recorded = run.prometheus.query_range(text(&rule["name"]), run.from_s, run.to_s);
            assert!(!recorded.is_empty(), "{} records nothing", rule["name"]);
        }
    }
}
