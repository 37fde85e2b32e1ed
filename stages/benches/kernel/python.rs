//! `OpenCV` in Python, for comparison: a process that does one round when it is told to, while this one waits.
//!
//! In: the venv that `deploy/setup.sh bench` makes, a picture, and what is to be looked for with. Out: CPU times in ms. Invariant:
//! both sides use one thread, and take turns, so that what else the machine does hits both alike.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("plain.py");

/// The process.
pub(crate) struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// `OpenCV`'s version.
    pub(crate) version: String,
}

impl Python {
    /// Starts it. Without a model or a cascade it has no loop for that.
    pub(crate) fn start(python: &Path, jpeg: &Path, model: Option<&Path>, cascade: Option<&Path>) -> Self {
        let or_dash = |path: Option<&Path>| path.map_or_else(|| "-".into(), Path::to_path_buf);
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(jpeg).arg(or_dash(model)).arg(or_dash(cascade));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python starts");
        let (stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut python = Self { child, stdin, stdout: BufReader::new(stdout), version: String::new() };
        python.version = python.line();
        python
    }

    /// CPU milliseconds of one round of a loop.
    pub(crate) fn round(&mut self, of: &str) -> f64 {
        writeln!(self.stdin, "{of}").expect("Python listens");
        self.line().parse().expect("a number")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("Python answers");
        assert!(!line.is_empty(), "Python has ended: what it said stands above");
        line.trim_end().to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
