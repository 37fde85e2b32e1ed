//! Programs that are not ours, run on files of `deploy/`, and those files as data.
//!
//! In: a program and its arguments. Out: whether it was content, and what it said. Invariant: what is to be refused is a copy with one
//! deliberate mistake, so that a tool that accepts everything fails the test.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use facestream_tests::{deploy_command, deploy_tool, scratch, workspace};
use serde_json::Value;

/// What a program made of its input.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Exit code 0.
    pub(crate) is_content: bool,
    /// Standard output, then standard error.
    pub(crate) said: String,
}

/// Runs a program to its end.
pub(crate) fn verdict(command: &mut Command) -> Verdict {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Verdict { is_content: output.status.success(), said: text(&output.stdout) + &text(&output.stderr) }
}

/// A program built with Go; without Go the caller's test is over, and says so.
pub(crate) fn tool_or_skip(name: &str) -> Option<PathBuf> {
    let tool = deploy_tool(name);
    if tool.is_none() {
        eprintln!("SKIPPED: {name} was not built: that needs Go");
    }
    tool
}

/// A file of the workspace.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `text` with one deliberate mistake in it.
pub(crate) fn broken(text: &str, right: &str, wrong: &str) -> String {
    assert!(text.contains(right), "{right:?} is there to be replaced by {wrong:?}");
    text.replacen(right, wrong, 1)
}

/// Writes `text` to a file of its own and gives that to `judge`.
pub(crate) fn in_file(name: &str, text: &str, judge: impl FnOnce(&Path) -> Verdict) -> Verdict {
    let folder = scratch();
    let path = folder.path().join(name);
    fs::write(&path, text).expect("writing a file");
    judge(&path)
}

/// The documents of a YAML file.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
    let mut python = Command::new(deploy_command("python"));
    python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().expect("starting Python");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("writing to Python");
    let output = child.wait_with_output().expect("Python's end");
    assert!(output.status.success(), "no YAML:\n{text:.500}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The value at a JSON pointer as text; panics where there is none.
pub(crate) fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {value:#}"))
}
