//! An S3 server (versitygw) on a local folder, whose create-only PUT has exactly one winner: for races between writers.
//!
//! In: what `deploy/setup.sh test` built where there is Go, and a folder. Out: a store URL with its options, and the folder in
//! which a prefix's objects lie as files. Invariant: it never outlives the value that stands for it.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use toml::{Table, toml};

use crate::process::{free_port, spawn, tail};
use crate::{cache, wait_for};

const BUCKET: &str = "facestream";
const KEY: &str = "tests";
const SECRET: &str = "tests-secret";

/// A running server.
pub struct Versitygw {
    endpoint: String,
    process: Child,
    buckets: PathBuf,
}

impl Versitygw {
    /// Whether it was built: that needs Go.
    #[must_use]
    pub fn is_installed() -> bool {
        cache::versitygw().is_some()
    }

    /// A server of one's own with an empty bucket, in a new folder below `parent` (30 ms).
    #[must_use]
    pub fn start(parent: &Path) -> Versitygw {
        let buckets = parent.join("s3");
        fs::create_dir_all(buckets.join(BUCKET)).expect("a folder for the bucket");
        let program = cache::versitygw().expect("versitygw is missing: install Go and run `make test`, which builds it");
        let (port, log) = (free_port(), parent.join("versitygw.log"));
        let mut server = Command::new(program);
        server.env("ROOT_ACCESS_KEY", KEY).env("ROOT_SECRET_KEY", SECRET);
        server.args(["-q", "--port", &format!("127.0.0.1:{port}"), "posix"]).arg(&buckets);
        let mut process = spawn(&server, &log);
        wait_for("versitygw to listen", Duration::from_mins(1), || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("versitygw ended with {status}{}", tail(&log));
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("{error}{}", tail(&log)))
        });
        Versitygw { endpoint: format!("http://127.0.0.1:{port}"), process, buckets }
    }

    /// `s3://bucket/prefix`, as `store.url` takes it.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// The folder in which the objects below a prefix lie.
    #[must_use]
    pub fn folder(&self, prefix: &str) -> PathBuf {
        self.buckets.join(BUCKET).join(prefix)
    }

    /// Key and secret of the only user it lets in; it checks the signature of each request.
    #[must_use]
    pub fn user() -> (&'static str, &'static str) {
        (KEY, SECRET)
    }

    /// What goes under `[store.options]`.
    #[must_use]
    pub fn options(&self) -> Table {
        let mut options = toml! {
            region = "us-east-1"
            allow_http = "true"
        };
        for (name, value) in [("access_key_id", KEY), ("secret_access_key", SECRET), ("endpoint", self.endpoint.as_str())] {
            options.insert(name.to_owned(), value.into());
        }
        options
    }
}

impl Drop for Versitygw {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
