//! Where `deploy/setup.sh test` put the parts that tests need.
//!
//! In: the environment. Out: paths that are there, or a panic that says which command brings them.

use std::path::{Path, PathBuf};

/// The folder of Kafka's jars, in the version of `deploy/kafka/pom.xml`.
pub(crate) fn kafka_jars() -> PathBuf {
    let pom = include_str!("../../deploy/kafka/pom.xml");
    let version = pom.split("<kafka.version>").nth(1).and_then(|rest| rest.split('<').next()).expect("a version in pom.xml");
    present("Kafka's jars", folder().join("kafka").join(version))
}

/// The Python that has duckdb, boto3 and moto.
pub(crate) fn python() -> PathBuf {
    present("the tests' Python packages", folder().join("venv/test/bin/python"))
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
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder")
}
