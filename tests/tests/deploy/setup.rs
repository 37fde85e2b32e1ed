//! Set-up: quick, and silent when all is there.

use std::fs;
use std::process::Command;

use facestream_tests::workspace;

use crate::tool::verdict;

/// What it says each time where a part is missing that it cannot bring.
const WITHOUT: [&str; 2] = ["setup: without Go", "setup: only root"];

#[test]
fn the_second_set_up_does_nothing_and_says_nothing() {
    let set_up = || verdict(Command::new(workspace().join("deploy/setup.sh")).arg("deploy").current_dir("/"));
    let first = set_up();
    assert!(first.is_content, "{}", first.said);

    let second = set_up();
    assert!(second.is_content, "{}", second.said);
    let said: Vec<&str> = second.said.lines().filter(|line| !WITHOUT.iter().any(|known| line.starts_with(known))).collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn an_unknown_mode_shows_what_there_is() {
    let refused = verdict(Command::new(workspace().join("deploy/setup.sh")).arg("deplyo"));
    assert!(!refused.is_content);
    let modes = fs::read_to_string(workspace().join("deploy/setup.sh")).expect("the script");
    let modes = modes.lines().find_map(|line| line.trim().strip_prefix("case $mode in ")).expect("its modes");
    for mode in modes.split(')').next().expect("modes").split(" | ") {
        assert!(refused.said.contains(mode), "{mode} is not explained: {}", refused.said);
    }
}
