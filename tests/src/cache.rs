//! Where `deploy/setup.sh` put the parts that tests need.
//!
//! In: the environment. Out: paths that are there, or a panic that says which command brings them.

use std::path::{Path, PathBuf};

/// The folder of Kafka's jars, in the version of `deploy/kafka/pom.xml`.
pub(crate) fn kafka_jars() -> PathBuf {
    present("Kafka's jars", folder().join("kafka").join(kafka_version()))
}

/// The version of Kafka in `deploy/kafka/pom.xml`.
pub(crate) fn kafka_version() -> &'static str {
    let pom = include_str!("../../deploy/kafka/pom.xml");
    pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next()).expect("a version in pom.xml")
}

/// The Python that has duckdb, boto3 and moto, and the clients and validators that tests run.
pub(crate) fn python() -> PathBuf {
    present("the tests' Python packages", folder().join("venv/test/bin/python"))
}

/// The Python that has OpenCV 4.6 and pycocotools; `None` where this machine's Python is too new for them.
#[must_use]
pub fn vision_python() -> Option<PathBuf> {
    Some(folder().join("venv/vision/bin/python")).filter(|path| path.exists())
}

/// The S3 server versitygw, in the version of `deploy/setup.sh`; `None` where it was not built, for want of Go.
pub(crate) fn versitygw() -> Option<PathBuf> {
    Some(folder().join("versitygw").join(versitygw_version()).join("versitygw")).filter(|path| path.exists())
}

/// The version of versitygw that `deploy/setup.sh` builds.
pub(crate) fn versitygw_version() -> &'static str {
    let setup = include_str!("../../deploy/setup.sh");
    setup.lines().find_map(|line| line.strip_prefix("versitygw_version=")).expect("a version in setup.sh")
}

/// A program of the venv that `deploy/setup.sh deploy` makes: `hadolint`, `kubernetes-validate`, `python`.
#[must_use]
pub fn deploy_command(name: &str) -> PathBuf {
    present_for_deploy(name, folder().join("venv/deploy/bin").join(name))
}

/// A program that `deploy/setup.sh deploy` builds with Go, a folder of `deploy/tools` each, or kustomize; `None` where it was not
/// built, for want of Go.
#[must_use]
pub fn deploy_tool(name: &str) -> Option<PathBuf> {
    Some(folder().join("tools").join(name)).filter(|path| path.exists())
}

/// The folder with `playwright-core`.
#[must_use]
pub fn node_modules() -> PathBuf {
    present_for_deploy("playwright-core", folder().join("node/node_modules"))
}

/// A bare Debian as a tar file, to build images on; `None` where it was not made, for want of root.
#[must_use]
pub fn debian() -> Option<PathBuf> {
    let files = std::fs::read_dir(folder().join("debian")).ok()?;
    files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|extension| extension == "tar"))
}

fn present_for_deploy(what: &str, path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{what} is missing: there is no {}: run `make test-deploy`, which fetches it", path.display());
    path
}

fn present(what: &str, path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{what} are missing: there is no {}: run `make test`, which fetches them", path.display());
    path
}

fn folder() -> PathBuf {
    let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    of("FACESTREAM_CACHE")
        .or_else(|| Some(of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?.join("facestream")))
        .expect("FACESTREAM_CACHE or HOME is set")
}

/// The folder of the workspace's sources.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder")
}
