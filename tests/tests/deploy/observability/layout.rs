//! Where the panels of a dashboard lie: on Grafana's grid of 24 columns, none over another, and what Grafana is provisioned with.

use std::collections::BTreeSet;

use facestream_tests::workspace;
use serde_json::Value;

use super::dashboards::{all, list, text};
use super::rules::yaml;

/// Left, top, width and height in cells of the grid.
fn place(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or_else(|| panic!("no {side}: {panel}")))
}

/// What is wrong with where panels lie.
fn faults(panels: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let ([x, y, w, h], title) = (place(panel), text(&panel["title"]));
        if w == 0 || h == 0 || x + w > 24 {
            faults.push(format!("{title:?} leaves the 24 columns"));
        }
        let cells = (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line)));
        if cells.filter(|cell| !taken.insert(*cell)).count() > 0 {
            faults.push(format!("{title:?} lies over another panel"));
        }
        if !ids.insert(panel["id"].as_u64()) {
            faults.push(format!("{title:?} has the id of another panel"));
        }
    }
    // Grafana moves panels up into holes: what is written would not be what is seen.
    let bottom = taken.iter().map(|(_, line)| line + 1).max().unwrap_or_default();
    faults.extend((0..bottom).filter(|line| !taken.contains(&(0, *line))).map(|line| format!("line {line} is empty")));
    faults
}

#[test]
fn panels_lie_beside_each_other_within_24_columns() {
    for dashboard in all() {
        let panels = list(&dashboard.json["panels"]);
        assert_eq!(faults(panels), [""; 0], "{}", dashboard.title());
        // At most four in a line: each can be read.
        let narrow: Vec<_> = dashboard.panels().into_iter().filter(|panel| place(panel)[2] < 6).collect();
        assert_eq!(narrow, Vec::<&Value>::new(), "{}", dashboard.title());

        let mut broken = panels.to_vec();
        broken[1]["gridPos"]["x"] = 20.into();
        broken[3]["id"] = broken[2]["id"].clone();
        assert!(faults(&broken).len() >= 3, "a panel over others, beyond the edge, with a doubled id is noticed");
    }
}

#[test]
fn grafana_is_provisioned_with_the_data_source_and_the_folder() {
    let provisioning = workspace().join("deploy/grafana/provisioning");
    let sources = yaml(&provisioning.join("datasources/prometheus.yaml"));
    let [source] = list(&sources["datasources"]) else { panic!("one data source: {sources}") };
    assert_eq!((&source["type"], &source["isDefault"]), (&"prometheus".into(), &true.into()));
    let scraped = yaml(&workspace().join("deploy/prometheus/prometheus.yaml"));
    assert_eq!(source["jsonData"]["timeInterval"], scraped["global"]["scrape_interval"], "$__rate_interval is made of it");
    let dashboards = yaml(&provisioning.join("dashboards/facestream.yaml"));
    let [provider] = list(&dashboards["providers"]) else { panic!("one provider: {dashboards}") };
    assert_eq!((&provider["folder"], &provider["allowUiUpdates"]), (&"facestream".into(), &false.into()));
    let readme = std::fs::read_to_string(workspace().join("deploy/grafana/README.md")).expect("the README");
    assert!(readme.contains(text(&provider["options"]["path"])), "the README says what is mounted where");
}
