use super::super::{Config, Needs, Sources, load};
use super::*;

/// The template with every `#key = default` made a line of its own; prose has a space after its `#`.
fn uncommented() -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    TEMPLATE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n")
}

fn config_of(text: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facestream.toml");
    std::fs::write(&file, text).unwrap();
    let sources = Sources { file: Some(file), needs: Needs::default(), ..Sources::default() };
    load(&sources).unwrap().0
}

fn keys(tree: &serde_json::Value) -> Vec<String> {
    let sections = tree.as_object().unwrap();
    let mut keys: Vec<String> = sections
        .iter()
        .flat_map(|(name, keys)| keys.as_object().unwrap().keys().map(move |key| format!("{name}.{key}")))
        .collect();
    keys.sort();
    keys
}

#[test]
fn the_template_is_the_default_configuration() {
    assert_eq!(config_of(TEMPLATE), Config::default());
    assert_eq!(config_of(&uncommented()), Config::default());
}

#[test]
fn the_template_gives_every_key() {
    let template: serde_json::Value = toml::from_str(&uncommented()).unwrap();
    assert_eq!(keys(&template), keys(&serde_json::to_value(Config::default()).unwrap()));
}

#[test]
fn every_key_in_the_template_is_explained() {
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].trim_start_matches('#').starts_with(|c: char| c.is_ascii_lowercase());
        assert!(!is_key || pair[0].starts_with("# "), "no explanation above {:?}", pair[1]);
    }
}
