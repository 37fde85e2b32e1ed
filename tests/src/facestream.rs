//! The real binary as a process: started with a configuration, looked at through its own HTTP page, stopped in every way.
//!
//! In: a configuration as a TOML table. Out: its metrics, its status, its log, its exit code. Invariant: it never outlives
//! the value that stands for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use toml::{Table, toml};

use crate::process::{free_port, scratch, signal, spawn, tail};
use crate::{Kafka, cache, wait_for};

/// How long a process may take to answer once it was started, with the detector loaded on a busy machine.
const START: Duration = Duration::from_mins(1);

/// A running `facestream run`.
pub struct Facestream {
    process: Child,
    http: String,
    log: PathBuf,
    /// Gone with it.
    folder: Option<TempDir>,
}

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Everything it wrote, to standard output and standard error.
    pub output: String,
}

impl Facestream {
    /// A configuration that reads `topic` from its start into the store at `url`, appends every second and keeps sessions
    /// short. Tests add to it or change it.
    #[must_use]
    pub fn config(kafka: &Kafka, topic: &str, group: &str, url: &str) -> Table {
        let mut config = toml! {
            [kafka]
            start = "earliest"
            properties = { "session.timeout.ms" = "6000", "heartbeat.interval.ms" = "500" }
            [workers]
            count = 2
            [journal]
            append_every = "1s"
        };
        let mut set = |section: &str, key: &str, value: &str| {
            let section = config.entry(section).or_insert_with(|| Table::new().into());
            section.as_table_mut().expect("a section").insert(key.to_owned(), value.into());
        };
        set("kafka", "brokers", kafka.brokers());
        set("kafka", "topics", topic);
        set("kafka", "group", group);
        set("store", "url", url);
        config
    }

    /// Starts `facestream run` with this configuration and these further arguments, such as `--until-end`.
    #[must_use]
    pub fn run(config: &Table, arguments: &[&str]) -> Facestream {
        Self::run_to_die(config, arguments, "")
    }

    /// The same with a failpoint, such as `after-append=kill@3`.
    #[must_use]
    pub fn run_to_die(config: &Table, arguments: &[&str], failpoint: &str) -> Facestream {
        let folder = scratch();
        let file = folder.path().join("facestream.toml");
        fs::write(&file, config.to_string()).expect("writing the configuration");
        let mut running = Facestream::run_logged(
            &file,
            arguments,
            &[("FACESTREAM_FAILPOINT", failpoint)],
            &folder.path().join("facestream.log"),
        );
        running.folder = Some(folder);
        running
    }

    /// Starts `facestream run` with the configuration in `file`, and with `environment` set; what it writes goes to `log`.
    #[must_use]
    pub fn run_logged(file: &Path, arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Facestream {
        let http = format!("127.0.0.1:{}", free_port());
        let mut command = command();
        command.args(["run", "--config"]).arg(file).args(["--set", &format!("http.listen={http}")]).args(arguments);
        command.envs(environment.iter().copied());
        Facestream { process: spawn(&command, log), http: format!("http://{http}"), log: log.to_owned(), folder: None }
    }

    /// Runs any command of the binary to its end, in `folder`; panics if that takes longer than `limit`.
    #[must_use]
    pub fn command(folder: &Path, arguments: &[&str], limit: Duration) -> Finished {
        Self::start(folder, arguments).wait_exit(limit)
    }

    /// Starts any command of the binary, in `folder`.
    #[must_use]
    pub fn start(folder: &Path, arguments: &[&str]) -> Facestream {
        Self::start_with(folder, arguments, &[])
    }

    /// The same with `environment` set.
    #[must_use]
    pub fn start_with(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Facestream {
        let own = scratch();
        let log = own.path().join("facestream.log");
        let mut command = command();
        let process = spawn(command.args(arguments).current_dir(folder).envs(environment.iter().copied()), &log);
        Facestream { process, http: String::new(), log, folder: Some(own) }
    }

    /// The whole of a page such as `/metrics`; an error says what was seen instead.
    pub fn get(&self, path: &str) -> Result<String, String> {
        let agent = ureq::config::Config::builder().timeout_global(Some(Duration::from_secs(5))).build().new_agent();
        let answer = agent.get(format!("{}{path}", self.http)).call();
        answer.and_then(|mut answer| answer.body_mut().read_to_string()).map_err(|error| format!("{path}: {error}"))
    }

    /// The metric's value: the sum of all samples of that name that carry these labels. Panics if there is none, since each
    /// metric is exported from the start; a histogram is asked for as `..._count` or `..._sum`.
    pub fn metric(&mut self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let page = self.wait_until("an answer of /metrics", START, |own| own.get("/metrics"));
        sum(&page, name, labels).unwrap_or_else(|| panic!("{name} with {labels:?} is not exported:\n{page}"))
    }

    /// The JSON of `/status`.
    pub fn status(&mut self) -> Value {
        let page = self.wait_until("an answer of /status", START, |own| own.get("/status"));
        serde_json::from_str(&page).unwrap_or_else(|error| panic!("/status is no JSON ({error}): {page}"))
    }

    /// Waits until the metric (as [`Facestream::metric`] finds it) satisfies `condition`; returns it.
    pub fn wait_metric(&mut self, name: &str, labels: &[(&str, &str)], limit: Duration, condition: impl Fn(f64) -> bool) -> f64 {
        self.wait_until(&format!("{name} with {labels:?}"), limit, |own| match sum(&own.get("/metrics")?, name, labels) {
            Some(value) if condition(value) => Ok(value),
            other => Err(format!("{other:?}")),
        })
    }

    /// Waits until `/readyz` is green: it has joined its group and reaches its journal.
    pub fn wait_ready(&mut self) {
        self.wait_until("/readyz", START, |own| own.get("/readyz"));
    }

    /// Waits for any condition; fails at once, with the log, when the process ends meanwhile.
    pub fn wait_until<T>(&mut self, what: &str, limit: Duration, look: impl Fn(&Self) -> Result<T, String>) -> T {
        wait_for(what, limit, || {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("facestream ended with {status} before there was {what}{}", tail(&self.log));
            }
            look(self).map_err(|seen| format!("{seen}{}", tail(&self.log)))
        })
    }

    /// Everything it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The address of its pages, as `http://host:port`.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("looking at facestream")
    }

    /// The end of what it has written, for messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The process's id, for looking at `/proc`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal by name: "TERM", "INT", "STOP" (a frozen process), "CONT".
    pub fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// SIGKILL: as if the machine had gone.
    pub fn kill(mut self) {
        self.process.kill().expect("killing facestream");
        self.process.wait().expect("facestream's end");
    }

    /// SIGTERM, then waits for the end.
    #[must_use]
    pub fn terminate(self, limit: Duration) -> Finished {
        self.signal("TERM");
        self.wait_exit(limit)
    }

    /// Waits until it ends by itself.
    #[must_use]
    pub fn wait_exit(mut self, limit: Duration) -> Finished {
        let status = wait_for("facestream to end", limit, || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(format!("it runs{}", tail(&self.log))),
        });
        Finished { code: status.code(), output: self.output() }
    }
}

impl Drop for Facestream {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", tail(&self.log));
        }
    }
}

/// The binary, with nothing of the caller's own configuration in its environment.
fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FACESTREAM__")) {
        command.env_remove(name);
    }
    command
}

/// The binary beside this test's executable. Cargo builds a binary only for the tests of its own package, so that it is
/// brought up to date here, once; with `make test` that has nothing left to do.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let test = std::env::current_exe().expect("the test's own path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        if let Some(cargo) = std::env::var_os("CARGO") {
            let mut build = Command::new(cargo);
            build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]).current_dir(cache::workspace());
            build.args(profile.ends_with("release").then_some("--release"));
            assert!(build.status().is_ok_and(|status| status.success()), "building facestream failed: {build:?}");
        }
        let binary = profile.join("facestream");
        assert!(binary.exists(), "there is no {}: run `make test`, which builds it", binary.display());
        binary
    })
}

/// The sum of all samples of a metric that carry these labels, in Prometheus's text format; `None` where there is none.
fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let samples = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(['{', ' '])?;
        let (found, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
        let found: Vec<&str> = found.trim_end_matches('}').split(',').collect();
        wanted.iter().all(|label| found.contains(&label.as_str())).then(|| value.parse::<f64>().expect("a number"))
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::sum;

    const PAGE: &str = "# TYPE a_total counter\na_total{status=\"ok\",topic=\"t\"} 3\na_total{status=\"ok\",topic=\"u\"} 4\n\
                        a_total{status=\"bad\",topic=\"t\"} 5\na_total_more 7\nplain 1.5e3\n";

    #[test]
    fn a_metric_is_the_sum_of_the_samples_with_its_labels() {
        assert_eq!(sum(PAGE, "a_total", &[]), Some(12.0));
        assert_eq!(sum(PAGE, "a_total", &[("status", "ok")]), Some(7.0));
        assert_eq!(sum(PAGE, "a_total", &[("topic", "t"), ("status", "bad")]), Some(5.0));
        assert_eq!(sum(PAGE, "plain", &[]), Some(1500.0));
        assert_eq!(sum(PAGE, "a_total", &[("status", "o")]), None);
        assert_eq!(sum(PAGE, "a_tot", &[]), None);
    }
}
