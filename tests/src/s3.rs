//! An S3 server (moto) with one bucket, for everything but races: its create-only PUT is not atomic between many writers.
//!
//! In: nothing. Out: a store URL with its options, and a copy of the bucket for readers of files.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;
use toml::{Table, toml};

use crate::duck::python;
use crate::process::{free_port, scratch, signal, spawn, tail};
use crate::{cache, wait_for};

const BUCKET: &str = "facestream";

const CONNECT: &str = "
import boto3, os, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='tests', aws_secret_access_key='tests')
";

/// A running server.
pub struct S3 {
    endpoint: String,
    process: Child,
    folder: TempDir,
}

impl S3 {
    /// A server of one's own with an empty bucket (1 to 2 s).
    #[must_use]
    pub fn start() -> S3 {
        let folder = scratch();
        let log = folder.path().join("moto.log");
        let port = free_port();
        let mut server = Command::new(cache::python());
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = spawn(&server, &log);
        wait_for("the S3 server to listen", Duration::from_mins(1), || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("the S3 server ended with {status}{}", tail(&log));
            }
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("{error}{}", tail(&log)))
        });
        let server = S3 { endpoint: format!("http://127.0.0.1:{port}"), process, folder };
        server.script("s3.create_bucket(Bucket=sys.argv[2])", &[]);
        server
    }

    /// Sends a signal by name: "STOP" (it does not answer any more), "CONT".
    pub fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// `s3://bucket/prefix`, as `store.url` takes it.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What goes under `[store.options]`.
    #[must_use]
    pub fn options(&self) -> Table {
        let mut options = toml! {
            region = "us-east-1"
            allow_http = "true"
            access_key_id = "tests"
            secret_access_key = "tests"
        };
        options.insert("endpoint".to_owned(), self.endpoint.clone().into());
        options
    }

    /// The keys of all objects below a prefix, in S3's order.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let list = "
for page in s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[2], Prefix=sys.argv[3]):
    for item in page.get('Contents', []):
        print(item['Key'])
";
        self.script(list, &[prefix]).lines().map(str::to_owned).collect()
    }

    /// Copies all objects below a prefix into a folder, under their keys without the prefix.
    pub fn download(&self, prefix: &str, folder: &Path) {
        let copy = "
for page in s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[2], Prefix=sys.argv[3]):
    for item in page.get('Contents', []):
        path = os.path.join(sys.argv[4], item['Key'][len(sys.argv[3]):].lstrip('/'))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s3.download_file(sys.argv[2], item['Key'], path)
";
        self.script(copy, &[prefix, &folder.display().to_string()]);
    }

    fn script(&self, script: &str, arguments: &[&str]) -> String {
        let arguments = [&[self.endpoint.as_str(), BUCKET], arguments].concat();
        python(&format!("{CONNECT}{script}"), &arguments, "", self.folder.path())
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
