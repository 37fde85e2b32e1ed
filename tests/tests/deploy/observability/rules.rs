//! Alerts and their runbook: valid for promtool, each shown firing and not firing, each with text that helps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use facestream_tests::{deploy_command, scratch, workspace};
use serde_json::Value;

use super::dashboards::{all, list, text};

/// A YAML file as JSON.
pub(super) fn yaml(file: &Path) -> Value {
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let output = Command::new(deploy_command("python")).args(["-c", program]).arg(file).output().expect("running python");
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The rules of `rules.yaml`: (the name of the recording or of the alert, the rule).
pub(super) fn rules() -> Vec<(String, Value)> {
    let file = yaml(&folder().join("rules.yaml"));
    let rules = list(&file["groups"]).iter().flat_map(|group| list(&group["rules"]));
    rules.map(|rule| (format!("{}{}", text(&rule["record"]), text(&rule["alert"])), rule.clone())).collect()
}

fn alerts() -> Vec<(String, Value)> {
    rules().into_iter().filter(|(_, rule)| rule["alert"].is_string()).collect()
}

fn folder() -> PathBuf {
    workspace().join("deploy/prometheus")
}

fn runbook() -> String {
    fs::read_to_string(folder().join("runbook.md")).expect("the runbook")
}

/// Runs promtool in `folder`; what it said, and whether it was content.
fn promtool(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("promtool").args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("running promtool ({error}): run `make test-deploy`, which installs it"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// What promtool is asked, of which file.
const CHECKS: [(&str, &[&str]); 3] = [
    ("rules.yaml", &["check", "rules", "rules.yaml"]),
    ("prometheus.yaml", &["check", "config", "prometheus.yaml"]),
    ("rules_test.yaml", &["test", "rules", "rules_test.yaml"]),
];

#[test]
fn rules_configuration_and_rule_tests_are_what_promtool_accepts() {
    for (file, arguments) in CHECKS {
        let (content, said) = promtool(&folder(), arguments);
        assert!(content, "{file}: {said}");
    }
}

#[test]
fn the_token_is_carried_in_the_way_that_the_configurations_comment_shows() {
    let copy = scratch();
    fs::write(copy.path().join("token"), "a-token").expect("a token");
    fs::copy(folder().join("rules.yaml"), copy.path().join("rules.yaml")).expect("a copy");
    let config = fs::read_to_string(folder().join("prometheus.yaml")).expect("the configuration");
    let config = config.replace("    #   ", "    ").replace("/etc/prometheus/facestream-token", "token");
    fs::write(copy.path().join("prometheus.yaml"), config).expect("a copy");
    let (content, said) = promtool(copy.path(), CHECKS[1].1);
    assert!(content, "{said}");
    let scraped = &yaml(&copy.path().join("prometheus.yaml"))["scrape_configs"][0];
    assert_eq!(
        (&scraped["authorization"]["type"], &scraped["authorization"]["credentials_file"]),
        (&"Bearer".into(), &"token".into())
    );
}

#[test]
fn promtool_refuses_deliberately_broken_copies() {
    let breakages = [
        ("rules.yaml", "deriv(", "driev("),
        ("rules.yaml", "        for: 10m", "      for: 10m"),
        ("rules.yaml", "{{ $labels.topic }}", "{{ $labels.topic"),
        ("prometheus.yaml", "scrape_configs:", "scrape_config:"),
        ("prometheus.yaml", "  - rules.yaml", "  - [rules.yaml"),
        // Another threshold, another label, no wait: what the rules say is not what their tests show any more.
        ("rules_test.yaml", "job_topic:facestream_lag_seconds:max > 120", "job_topic:facestream_lag_seconds:max > 2000"),
        (
            "rules_test.yaml",
            "by (job, topic, partition) (facestream_lag_seconds)",
            "by (job, topik, partition) (facestream_lag_seconds)",
        ),
        ("rules_test.yaml", "facestream_partitions_stopped > 0\n        for: 1m", "facestream_partitions_stopped > 0"),
    ];
    for (file, whole, broken) in breakages {
        let copy = scratch();
        for (name, _) in CHECKS {
            let content = fs::read_to_string(folder().join(name)).expect("a file");
            // The tests stay as they are: it is the rules that change under them.
            let breaks = name == if file == "rules_test.yaml" { "rules.yaml" } else { file };
            assert!(!breaks || content.contains(whole), "{name} has no {whole:?}");
            fs::write(copy.path().join(name), if breaks { content.replace(whole, broken) } else { content }).expect("a copy");
        }
        let (_, arguments) = CHECKS.iter().find(|(name, _)| *name == file).expect("a check");
        let (content, said) = promtool(copy.path(), arguments);
        assert!(!content, "promtool {arguments:?} accepts {broken:?}: {said}");
    }
}

#[test]
fn each_alert_says_how_bad_it_is_with_which_value_and_where_its_runbook_is() {
    let runbook = runbook();
    let headings: BTreeSet<String> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    let names: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(headings, names, "the runbook has one section for each alert");
    for (name, alert) in alerts() {
        let severity = text(&alert["labels"]["severity"]);
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity:?}");
        let notes = &alert["annotations"];
        assert!(!text(&notes["summary"]).is_empty() && text(&notes["description"]).contains("$value"), "{name}: {notes}");
        let anchor = format!("deploy/prometheus/runbook.md#{}", name.to_lowercase());
        assert_eq!(notes["runbook_url"], anchor.as_str());
        let section = runbook.split(&format!("## {name}\n")).nth(1).expect("a section").split("\n## ").next().unwrap_or_default();
        for part in ["**Means**: ", "**Users notice**: ", "**Look**: ", "**Do**: "] {
            assert!(section.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn the_runbook_names_dashboards_and_panels_that_exist_and_its_links_lead_somewhere() {
    let dashboards = all();
    let titles: Vec<_> = dashboards.iter().flat_map(|found| found.panels()).map(|panel| text(&panel["title"])).collect();
    let runbook = runbook();
    // Not what stands in code.
    let prose: String = runbook.split('`').step_by(2).collect();
    let quoted: Vec<_> = prose.split('"').skip(1).step_by(2).collect();
    assert!(quoted.len() > 10, "{quoted:?}");
    for panel in quoted {
        let panel = panel.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(titles.iter().any(|title| title.starts_with(&panel)), "there is no panel {panel:?}");
    }
    for anchor in runbook.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(
            runbook.lines().any(|line| line.strip_prefix("## ").is_some_and(|name| name.to_lowercase() == anchor)),
            "{anchor}"
        );
    }
}

#[test]
fn each_alert_is_shown_firing_and_not_firing() {
    let file = yaml(&folder().join("rules_test.yaml"));
    let mut shown: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for case in list(&file["tests"]).iter().flat_map(|test| list(&test["alert_rule_test"])) {
        let counts = shown.entry(text(&case["alertname"]).to_owned()).or_default();
        if list(&case["exp_alerts"]).is_empty() { counts.1 += 1 } else { counts.0 += 1 }
    }
    let names = alerts().into_iter().map(|(name, _)| name);
    let unshown = names.filter(|name| {
        let (firing, quiet) = shown.get(name).copied().unwrap_or_default();
        firing == 0 || quiet == 0
    });
    assert_eq!(unshown.collect::<Vec<_>>(), [""; 0]);
}
