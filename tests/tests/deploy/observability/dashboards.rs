//! The dashboards as Grafana reads them: their panels, variables, marks, and every expression in them.
//!
//! In: `deploy/grafana/dashboards/*.json`. Out: values of their own, each expression with the place that it stands in.

use std::fs;
use std::process::Command;

use facestream_tests::{scratch, workspace};
use serde_json::Value;

/// One dashboard.
#[derive(Clone)]
pub(super) struct Dashboard {
    /// The whole file.
    pub(super) json: Value,
}

/// What one query of a panel, or one mark, asks for.
pub(super) struct Asked {
    /// Dashboard, panel and which of its queries, for messages.
    pub(super) place: String,
    /// The panel's kind, such as `stat`.
    pub(super) kind: String,
    /// The query, with Grafana's variables in it.
    pub(super) expression: String,
    /// The name of each series, with labels in `{{}}`; empty where there is none.
    pub(super) legend: String,
    /// Asked for one time, not for a range.
    pub(super) instant: bool,
}

impl Dashboard {
    pub(super) fn title(&self) -> &str {
        text(&self.json["title"])
    }

    /// Its panels, without the headings between them.
    pub(super) fn panels(&self) -> Vec<&Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
    }

    pub(super) fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// What its panels and marks ask for.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for panel in self.panels() {
            for (index, target) in list(&panel["targets"]).iter().enumerate() {
                asked.push(Asked {
                    place: format!("{}: {} [{index}]", self.title(), text(&panel["title"])),
                    kind: text(&panel["type"]).to_owned(),
                    expression: text(&target["expr"]).to_owned(),
                    legend: text(&target["legendFormat"]).to_owned(),
                    instant: target["instant"] == true,
                });
            }
        }
        for mark in list(&self.json["annotations"]["list"]).iter().filter(|mark| mark["expr"].is_string()) {
            asked.push(Asked {
                place: format!("{}: marks, {}", self.title(), text(&mark["name"])),
                kind: "annotation".to_owned(),
                expression: text(&mark["expr"]).to_owned(),
                legend: text(&mark["titleFormat"]).to_owned(),
                instant: false,
            });
        }
        asked
    }

    /// Selector and label of each variable that asks Prometheus: `label_values(selector, label)`.
    pub(super) fn label_values(&self) -> Vec<(String, String)> {
        let query = |variable: &Value| {
            let query = text(&variable["query"]["query"]);
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap_or_else(|| panic!("{query}"));
            (selector.to_owned(), label.to_owned())
        };
        self.variables().iter().filter(|variable| variable["type"] == "query").map(query).collect()
    }
}

/// All dashboards, in the order of their files' names.
pub(super) fn all() -> Vec<Dashboard> {
    let folder = workspace().join("deploy/grafana/dashboards");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the dashboards").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let json = fs::read_to_string(file).expect("a dashboard");
        Dashboard { json: serde_json::from_str(&json).unwrap_or_else(|error| panic!("{}: {error}", file.display())) }
    };
    files.iter().map(read).collect()
}

/// The text of a JSON string, or nothing.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The elements of a JSON array, or none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn the_dashboards_are_what_their_source_says_and_one_that_was_edited_by_hand_is_noticed() {
    let check = |folder: &std::path::Path| {
        Command::new("python3").arg(folder.join("dashboards.py")).arg("--check").output().expect("running python3")
    };
    let deployed = workspace().join("deploy/grafana");
    let checked = check(&deployed);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let folder = scratch();
    let copied = Command::new("cp").arg("-r").arg(&deployed).arg(folder.path()).status();
    assert!(copied.is_ok_and(|status| status.success()), "copying deploy/grafana");
    let copy = folder.path().join("grafana");
    let edited = copy.join("dashboards/facestream-fleet.json");
    let json = fs::read_to_string(&edited).expect("a dashboard").replace("Processes", "Machines");
    fs::write(&edited, json).expect("editing");
    let checked = check(&copy);
    assert_eq!(checked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&checked.stderr).contains("facestream-fleet.json"), "{checked:?}");
}

#[test]
fn four_dashboards_link_to_each_other_and_keep_what_was_chosen() {
    let dashboards = all();
    let titles: Vec<_> = dashboards.iter().map(Dashboard::title).collect();
    assert_eq!(titles, ["Delivery", "Fleet", "Overview", "Pipeline"].map(|name| format!("facestream / {name}")));
    for dashboard in &dashboards {
        let [link] = list(&dashboard.json["links"]) else { panic!("{} has one list of links", dashboard.title()) };
        assert_eq!((&link["type"], &link["includeVars"], &link["keepTime"]), (&"dashboards".into(), &true.into(), &true.into()));
        assert_eq!(link["tags"], dashboard.json["tags"], "links lead to those with the same tags");
        let names: Vec<_> = dashboard.variables().iter().map(|variable| text(&variable["name"])).collect();
        assert_eq!(names, ["datasource", "job", "instance", "topic"]);
        let topic = dashboard.asked().iter().any(|asked| asked.expression.contains("$topic"));
        assert!(topic, "{} has a variable that nothing uses", dashboard.title());
    }
}
