//! What of the demo can be tried without running it; a run of it is among the end-to-end tests.

use super::*;

#[test]
fn lengths_are_times_or_forever() {
    assert_eq!(length("20s"), Ok(Length(Some(Duration::from_secs(20)))));
    assert_eq!(length("1m 30s"), Ok(Length(Some(Duration::from_secs(90)))));
    assert_eq!(length("forever"), Ok(Length(None)));
    for wrong in ["", "20", "0s", "soon"] {
        assert!(length(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_folder_with_something_in_it_is_refused_as_usage() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_folder(&parent.path().join("a/b")).unwrap();
    assert!(folder.is_absolute());
    assert_eq!(new_folder(&folder).unwrap(), folder, "an empty one will do");
    let error = new_folder(parent.path()).unwrap_err();
    assert_eq!(crate::commands::exit_code(&error), 2);
    assert!(error.to_string().contains("not empty"), "{error}");
}

#[test]
fn the_configuration_passes_its_own_rules_wherever_the_folder_lies() {
    let parent = tempfile::tempdir().unwrap();
    let folder = new_folder(&parent.path().join("über uns #1")).unwrap();
    let config = config(&Broker::embedded("demo", 1).unwrap(), &folder, free_address().unwrap()).unwrap();
    let url = Url::parse(&config.store.url).unwrap();
    assert_eq!(url.to_file_path().unwrap(), folder);
    // Set as a user would, every value has to be accepted.
    let toml = toml::to_string(&config).unwrap();
    let file = parent.path().join("demo.toml");
    std::fs::write(&file, toml).unwrap();
    let sources = crate::config::Sources { file: Some(file), needs: crate::config::Needs::PIPELINE, ..Default::default() };
    assert_eq!(crate::config::load(&sources).unwrap().0, config);
}
