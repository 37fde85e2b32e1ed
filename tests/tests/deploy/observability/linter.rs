//! The rules of Grafana's public dashboard linter, by the names that its documentation gives them.
//!
//! In: a dashboard, and what Prometheus's parser says of its expressions. Out: complaints, each with the rule's name. Where the
//! documentation of a rule and its wording elsewhere differ, the stricter holds here.

use serde_json::Value;

use super::dashboards::{Dashboard, all, list, text};
use super::fill::Filled;
use super::promql::{self, Facts};
use super::units::UNITS;

type Complaint = (&'static str, String);

/// Everything that the rules have against a dashboard. Without the parser (no Go), what needs it is left out.
fn complaints(dashboard: &Dashboard) -> Vec<Complaint> {
    let mut found = variables(dashboard);
    if dashboard.json["editable"] != false {
        found.push(("uneditable-dashboard-rule", "it can be edited".to_owned()));
    }
    for panel in dashboard.panels() {
        found.extend(of_panel(panel).into_iter().map(|(rule, what)| (rule, format!("{}: {what}", panel["title"]))));
    }
    let asked = dashboard.asked();
    let filled: Vec<_> = asked.iter().map(|asked| Filled::default().expression(&asked.expression)).collect();
    for (asked, facts) in asked.iter().zip(promql::facts(&filled).into_iter().flatten()) {
        found.extend(of_query(&facts).into_iter().map(|(rule, what)| (rule, format!("{}: {what}", asked.place))));
    }
    found
}

fn variables(dashboard: &Dashboard) -> Vec<Complaint> {
    let mut found = Vec::new();
    let named = |name: &str| dashboard.variables().iter().find(|variable| variable["name"] == name);
    let source = named("datasource").is_some_and(|source| {
        source["type"] == "datasource" && source["query"] == "prometheus" && source["label"] == "Data source"
    });
    if !source {
        found.push(("template-datasource-rule", "no variable datasource, labelled Data source, for Prometheus".to_owned()));
    }
    for (rule, name, label) in [("template-job-rule", "job", "Job"), ("template-instance-rule", "instance", "Instance")] {
        let good = named(name).is_some_and(|variable| {
            variable["type"] == "query"
                && variable["label"] == label
                && variable["multi"] == true
                && variable["allValue"] == ".+"
                && variable["datasource"]["uid"] == "${datasource}"
        });
        if !good {
            found.push((rule, format!("no variable {name}, labelled {label}, of several values, where all is .+")));
        }
    }
    for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
        if variable["refresh"] != 2 {
            found.push(("template-on-time-change-reload-rule", format!("{} is not asked again", variable["name"])));
        }
        let query = text(&variable["query"]["query"]);
        let selector = query.strip_prefix("label_values(").and_then(|rest| Some(rest.strip_suffix(')')?.rsplit_once(", ")?.0));
        let error = match selector.map(|selector| promql::facts(&[Filled::default().expression(selector)])) {
            None => format!("no label_values(selector, label): {query}"),
            Some(facts) => facts.map(|facts| facts[0].error.clone()).unwrap_or_default(),
        };
        if !error.is_empty() {
            found.push(("template-label-promql-rule", error));
        }
    }
    found
}

fn of_panel(panel: &Value) -> Vec<Complaint> {
    let mut found = Vec::new();
    if panel["datasource"]["uid"] != "${datasource}" {
        found.push(("panel-datasource-rule", "it asks a data source of its own".to_owned()));
    }
    let targets = list(&panel["targets"]);
    if targets.iter().any(|target| target["datasource"]["uid"] != "${datasource}") {
        found.push(("panel-datasource-rule", "a query asks a data source of its own".to_owned()));
    }
    if text(&panel["title"]).is_empty() || text(&panel["description"]).is_empty() {
        found.push(("panel-title-description-rule", "title or description is missing".to_owned()));
    }
    let fields = &panel["fieldConfig"];
    let overridden = list(&fields["overrides"]).iter().flat_map(|one| list(&one["properties"]));
    let units = overridden.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
    let units: Vec<_> = units.chain([&fields["defaults"]["unit"]]).map(text).collect();
    if let Some(unknown) = units.iter().find(|unit| !UNITS.contains(unit)) {
        found.push(("panel-units-rule", format!("{unknown:?} is none of Grafana's units")));
    }
    if targets.is_empty() {
        found.push(("panel-no-targets-rule", "it asks for nothing".to_owned()));
    }
    found
}

fn of_query(facts: &Facts) -> Vec<Complaint> {
    if !facts.error.is_empty() {
        return vec![("target-promql-rule", facts.error.clone())];
    }
    let mut found = Vec::new();
    let filled = Filled::default();
    for selector in &facts.selectors {
        let rate = ["rate", "irate", "increase"].contains(&selector.call.as_str());
        let ranges = [filled.rate_interval_s, filled.range_s].map(|seconds| u64::from(seconds) * 1_000);
        if selector.range_ms > 0 && selector.range_ms != ranges[0] && (rate || selector.range_ms != ranges[1]) {
            found.push(("target-rate-interval-rule", format!("{} over a range of its own", selector.metric)));
        }
        for (rule, label) in [("target-job-rule", "job"), ("target-instance-rule", "instance")] {
            if !selector.matchers.iter().any(|matcher| (matcher.label.as_str(), matcher.op.as_str()) == (label, "=~")) {
                found.push((rule, format!("{} of every {label}", selector.metric)));
            }
        }
        if selector.metric.ends_with("_total") && !rate {
            found.push(("target-counter-agg-rule", format!("{} as it is, not how it grows", selector.metric)));
        }
    }
    found
}

#[test]
fn the_dashboards_keep_the_rules_of_the_dashboard_linter() {
    for dashboard in all() {
        assert_eq!(complaints(&dashboard), [], "{}", dashboard.title());
    }
}

/// A rule, and how a dashboard comes to break it.
type Breakage = (&'static str, fn(&mut Value));

fn first_query(json: &mut Value) -> &mut Value {
    &mut json["panels"][1]["targets"][0]["expr"]
}

#[test]
fn a_dashboard_that_breaks_a_rule_is_told_which() {
    let breakages: [Breakage; 11] = [
        ("uneditable-dashboard-rule", |json| json["editable"] = true.into()),
        ("template-datasource-rule", |json| json["templating"]["list"][0]["name"] = "source".into()),
        ("template-job-rule", |json| json["templating"]["list"][1]["multi"] = false.into()),
        ("template-instance-rule", |json| json["templating"]["list"][2]["allValue"] = ".*".into()),
        ("template-on-time-change-reload-rule", |json| json["templating"]["list"][3]["refresh"] = 1.into()),
        ("template-label-promql-rule", |json| json["templating"]["list"][1]["query"]["query"] = "label_value(x)".into()),
        ("panel-datasource-rule", |json| json["panels"][1]["datasource"]["uid"] = "prometheus".into()),
        ("panel-title-description-rule", |json| json["panels"][1]["description"] = "".into()),
        ("panel-units-rule", |json| json["panels"][1]["fieldConfig"]["defaults"]["unit"] = "secs".into()),
        ("panel-units-rule", |json| json["panels"][1]["fieldConfig"]["defaults"]["unit"].take().as_null().unwrap_or_default()),
        ("panel-no-targets-rule", |json| json["panels"][1]["targets"] = Value::Array(Vec::new())),
    ];
    assert_noticed(&breakages);
    if promql::facts(&[]).is_some() {
        assert_noticed(&[
            ("target-promql-rule", |json| *first_query(json) = "raet(facestream_records_total[5m])".into()),
            ("target-rate-interval-rule", |json| {
                *first_query(json) = "rate(x_total{job=~\"$job\", instance=~\"$instance\"}[5m])".into();
            }),
            ("target-job-rule", |json| *first_query(json) = "up{instance=~\"$instance\"}".into()),
            ("target-instance-rule", |json| *first_query(json) = "up{job=~\"$job\", instance=\"a\"}".into()),
            ("target-counter-agg-rule", |json| *first_query(json) = "sum(facestream_records_total{job=~\"$job\"})".into()),
        ]);
    }
}

fn assert_noticed(breakages: &[Breakage]) {
    let whole = all().into_iter().find(|dashboard| dashboard.title().ends_with("Delivery")).expect("Delivery");
    for (rule, breakage) in breakages {
        let mut broken = whole.clone();
        breakage(&mut broken.json);
        let found = complaints(&broken);
        assert!(found.iter().any(|(named, _)| named == rule), "{rule} is broken, and found is {found:?}");
    }
}
