//! Building the runtime stage, and running the image's root without a container engine.
//!
//! In: a bare Debian as a tar file; the Dockerfile; the binary. Out: an [`Image`], and processes in it. Invariant: nothing of it outlives
//! the test's folder, and no mount leaves its namespace.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use facestream::models::Folders;
use facestream_tests::{binary, wait_for, workspace};
use serde_json::Value;

use crate::tool::{Verdict, read, verdict};

/// What `docker run --read-only --user … --cap-drop ALL --security-opt no-new-privileges` does, with a mount and a process namespace of
/// its own. $1 the image's root, $2 the folder that is /mnt, $3 the one that is /etc/facestream, $4 the user; then the command.
const ENTER: &str = r#"set -e
root=$1 mnt=$2 etc=$3 user=$4
shift 4
mount --bind "$root" "$root"
mount --bind "$mnt" "$root/mnt"
mount --bind "$etc" "$root/etc/facestream"
mount -o remount,bind,ro "$root/etc/facestream"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" env -i -C /etc/facestream "$@""#;

/// A built image, its root as a folder.
pub(super) struct Image {
    buildah: Buildah,
    container: String,
    root: PathBuf,
    /// As `docker inspect` has it.
    pub(super) config: Value,
}

/// buildah with a storage of its own.
struct Buildah(PathBuf);

impl Buildah {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        // vfs: copies instead of layers, which works in a container, too.
        command.arg("--root").arg(self.0.join("storage")).arg("--runroot").arg(self.0.join("runroot"));
        command.args(["--storage-driver", "vfs"]).args(arguments).env("TMPDIR", &self.0);
        command
    }

    /// What it printed last; panics where it fails.
    fn run(&self, arguments: &[&str]) -> String {
        let found = verdict(&mut self.command(arguments));
        assert!(found.is_content, "buildah {arguments:?}: {}", found.said);
        found.said.lines().last().unwrap_or_default().to_owned()
    }
}

impl Image {
    /// The Dockerfile's last stage on `debian`. What it copies from the build stage is laid out in `folder`.
    pub(super) fn build(debian: &Path, folder: &Path) -> Image {
        let buildah = Buildah(folder.to_owned());
        let bare = buildah.run(&["from", "scratch"]);
        buildah.run(&["add", "--quiet", &bare, &debian.display().to_string(), "/"]);
        buildah.run(&["commit", "--quiet", "--rm", &bare, "localhost/bare"]);

        let (context, dockerfile) = (folder.join("build"), folder.join("Dockerfile"));
        lay_out(&context);
        fs::write(&dockerfile, runtime_stage(&read("deploy/Dockerfile"))).expect("writing the Dockerfile");
        let (context, dockerfile) = (format!("build={}", context.display()), dockerfile.display().to_string());
        let (project, root) = (workspace().display().to_string(), "BASE=localhost/bare");
        let built = ["bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--quiet", "--build-arg", root];
        buildah.run(
            &[&built[..], &["--build-context", &context, "-f", &dockerfile, "-t", "localhost/facestream", &project]].concat(),
        );

        let inspected = verdict(&mut buildah.command(&["inspect", "--type", "image", "localhost/facestream"])).said;
        let inspected: Value = serde_json::from_str(&inspected).expect("what buildah says of the image");
        let container = buildah.run(&["from", "--pull-never", "localhost/facestream"]);
        let root = PathBuf::from(buildah.run(&["mount", &container]));
        Image { buildah, container, root, config: inspected["Docker"]["config"].clone() }
    }

    /// A file of the image.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The user that it runs as: user and group are one number.
    pub(super) fn user(&self) -> u32 {
        let user = self.config["User"].as_str().expect("a user");
        user.split_once(':')
            .and_then(|(user, _)| user.parse().ok())
            .expect("a number, so that a cluster sees that it is not root")
    }

    /// Its entry point with `arguments`, to the end.
    pub(super) fn run(&self, store: &Store, environment: &[(&str, &str)], arguments: &[&str]) -> Verdict {
        verdict(&mut self.command(store, environment, arguments))
    }

    /// The same, in the background.
    pub(super) fn start(&self, store: &Store, environment: &[(&str, &str)], arguments: &[&str]) -> Running {
        let log = store.etc.with_file_name("run.log");
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command(store, environment, arguments);
        command.stdout(file.try_clone().expect("the log")).stderr(file);
        Running { process: command.spawn().expect("starting the container"), log }
    }

    fn command(&self, store: &Store, environment: &[(&str, &str)], arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "enter"]);
        command.args([&self.root, &store.folder, &store.etc]).arg(format!("{0}:{0}", self.user()));
        let own = self.config["Env"].as_array().expect("the image's environment");
        command.args(own.iter().map(|variable| variable.as_str().expect("NAME=value")));
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command
            .args(self.config["Entrypoint"].as_array().expect("an entry point").iter().map(|word| word.as_str().expect("text")));
        command.args(arguments);
        command
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = verdict(&mut self.buildah.command(&["rm", &self.container]));
    }
}

/// The Dockerfile without its build stage, but with the arguments before it.
fn runtime_stage(dockerfile: &str) -> String {
    let (before, build) = dockerfile.split_once("FROM ${BUILDER} AS build\n").expect("a build stage");
    let (_, runtime) = build.split_once("FROM ${BASE} AS runtime\n").expect("a runtime stage");
    format!("{before}FROM ${{BASE}} AS runtime\n{runtime}")
}

/// What the build stage leaves for the runtime stage, at the same places.
fn lay_out(context: &Path) {
    fs::create_dir_all(context.join("out")).expect("a folder");
    fs::copy(binary(), context.join("out/facestream")).expect("copying the binary");
    fs::write(context.join("out/packages"), "libc6\nlibgcc-s1\nlibstdc++6\n").expect("writing");
    fs::write(context.join("out/sbom.json"), r#"{"bomFormat": "CycloneDX"}"#).expect("writing");
    let set_up = Folders::from_env().expect("the cache folder");
    let library = set_up.runtime_library().expect("ONNX Runtime");
    let model = set_up.find("centerface").expect("a model").path;
    for (folder, file) in [("lib", library), ("models", model)] {
        let folder = context.join("opt/facestream").join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(&file, folder.join(file.file_name().expect("a name"))).expect("copying");
    }
}

/// What a container is given: a folder for its store, and one with its configuration.
pub(super) struct Store {
    /// /mnt in the container.
    pub(super) folder: PathBuf,
    etc: PathBuf,
}

impl Store {
    pub(super) fn new(parent: &Path) -> Store {
        let (folder, etc) = (parent.join("mnt"), parent.join("etc"));
        fs::create_dir(&folder).expect("a folder for the store");
        fs::create_dir(&etc).expect("a folder for the configuration");
        Store { folder, etc }
    }

    /// Writes facestream.toml, and gives the store's folder to the image's user.
    pub(super) fn configure(&self, values: &Value) {
        let lines = values.as_object().expect("values").iter().map(|(key, value)| format!("{key} = {value}\n"));
        fs::write(self.etc.join("facestream.toml"), lines.collect::<String>()).expect("writing the configuration");
        chown(&self.folder, Some(65532), Some(65532)).expect("giving the store away");
    }
}

/// Who a file belongs to.
pub(super) fn owner(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").uid()
}

/// A process in the image.
pub(super) struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Sends a signal to process 1 of the container, as an engine does.
    fn signal(&self, name: &str) -> bool {
        let parent = self.process.id();
        let first = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        !first.is_empty() && verdict(Command::new("kill").arg(format!("-{name}")).arg(first.trim())).is_content
    }

    /// The image's stop signal, then waits for the end.
    pub(super) fn stop(mut self, limit: Duration) -> Verdict {
        assert!(self.signal("TERM"), "process 1 of the container is gone");
        let status = wait_for("the container to end", limit, || match self.process.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(self.said()),
        });
        Verdict { is_content: status.success(), said: self.said() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // unshare's own end would not reach it: a change of user takes the kernel's signal at the parent's death away.
        self.signal("KILL");
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
