//! Processes and folders that end with the test process, however it ends.
//!
//! In: commands. Out: children that the kernel kills when this process is gone (killed, too), their log tails, free ports,
//! and scratch folders. Invariant: nothing of a finished test process keeps running, and none of its folders stays.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::{io, mem, thread};

use tempfile::TempDir;

/// Starts `command`, its talk going to `log` and nothing coming in; the kernel kills it when this process ends.
pub(crate) fn spawn(command: &Command, log: &Path) -> Child {
    let mut tied = Command::new("setpriv");
    // The kernel's signal is for a death to come: the shell looks whether this process was there when it was asked for.
    tied.args(["--pdeathsig", "KILL", "--", "sh", "-c", r#"[ "$PPID" = "$0" ] && exec "$@""#]).arg(process::id().to_string());
    tied.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    let file = File::create(log).unwrap_or_else(|error| panic!("creating {}: {error}", log.display()));
    let copy = file.try_clone().expect("a second handle of the log");
    tied.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
    spawned(tied).unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
}

/// Spawns from one thread that lives as long as the process: the kernel's signal comes at the death of the *thread* that
/// spawned, and a test's own thread ends with the test, long before the broker that it was the first to need.
fn spawned(command: Command) -> io::Result<Child> {
    type Job = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: LazyLock<Mutex<SyncSender<Job>>> = LazyLock::new(|| {
        let (jobs, queue) = sync_channel::<Job>(1);
        thread::spawn(move || {
            for (mut command, answer) in queue {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(jobs)
    });
    let (answer, child) = sync_channel(1);
    SPAWNER.lock().expect("the spawner").send((command, answer)).expect("the spawner lives");
    child.recv().expect("the spawner answers")
}

/// Sends a signal by name ("TERM", "STOP", ...), as the shell's `kill` does.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()), "sending SIG{name} to process {}", child.id());
}

/// The last 40 lines of a log, for people.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!("\n--- {} ---\n{}\n", log.display(), lines[lines.len().saturating_sub(40)..].join("\n"))
}

/// A port that nobody listened on a moment ago, and that this process is given once only. It lies below those that the kernel
/// gives to outgoing connections (from 32768): a server that is down for a moment finds it free again.
#[must_use]
pub fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 10_000..32_000;
    // Test processes that run side by side begin at different places.
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(process::id().wrapping_mul(97)));
    let mut ports = (0..RANGE.len()).map(|_| (RANGE.start + NEXT.fetch_add(1, Ordering::Relaxed) % RANGE.len() as u32) as u16);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

/// A new folder, gone when the value is dropped or, at the latest, when this process is gone.
#[must_use]
pub fn scratch() -> TempDir {
    static OWN: LazyLock<PathBuf> = LazyLock::new(|| {
        let own = std::env::temp_dir().join(format!("facestream-tests-{}", process::id()));
        fs::create_dir_all(&own).unwrap_or_else(|error| panic!("creating {}: {error}", own.display()));
        remove_when_gone(&own);
        own
    });
    tempfile::tempdir_in(&*OWN).expect("a scratch folder")
}

/// Writes a file in one piece, since a process that was started before may be reading what was there.
///
/// # Errors
///
/// Where the file, or one beside it with `.new` after its name, cannot be written.
pub fn replace(file: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, content)?;
    fs::rename(new, file)
}

/// A shell that waits for the end of a pipe, whose other end only this process holds, and then removes the folder: a static's
/// destructor never runs, and no destructor does after SIGKILL. The second attempt is for a broker that is just being killed.
fn remove_when_gone(folder: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r _; rm -rf \"$0\" 2>/dev/null || { sleep 1; rm -rf \"$0\"; }"]).arg(folder);
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn();
    mem::forget(shell.expect("starting sh").stdin);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait_for;
    use std::io::{BufRead as _, BufReader};
    use std::time::Duration;

    const NAME: &str = "process::tests::nothing_of_a_killed_test_process_stays";
    const ROLE: &str = "FACESTREAM_TESTS_VICTIM";

    /// As the victim: starts a child from a thread that ends at once, says where it is, and waits to be killed.
    fn be_the_victim() {
        let folder = scratch();
        let log = folder.path().join("log");
        let mut child = thread::spawn(move || spawn(Command::new("sleep").arg("600"), &log)).join().expect("a child");
        eprintln!("\nvictim {} {}", child.id(), folder.path().display());
        child.wait().unwrap();
    }

    #[test]
    fn nothing_of_a_killed_test_process_stays() {
        if std::env::var_os(ROLE).is_some() {
            return be_the_victim();
        }
        let mut test = Command::new(std::env::current_exe().unwrap());
        let test = test.args(["--exact", NAME, "--nocapture"]).env(ROLE, "1").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut victim = test.spawn().unwrap();
        let mut lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("victim ")).expect("the victim speaks");
        let [_, child, folder] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (child, folder) = (Path::new("/proc").join(child), Path::new(folder));
        assert!(child.exists() && folder.exists(), "{line}");
        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_for("the victim's child and folder to go", Duration::from_secs(20), || {
            // A killed child whose new parent has not yet looked is a zombie: without a command line.
            let gone = fs::read(child.join("cmdline")).map_or(true, |line| line.is_empty()) && !folder.exists();
            if gone { Ok(()) } else { Err(format!("{} or {}", child.display(), folder.display())) }
        });
    }
}
