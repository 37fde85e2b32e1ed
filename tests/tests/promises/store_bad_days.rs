//! The store's bad days: it does not answer, it cannot be written, it is full. Memory stays bounded, probes and metrics say so, and
//! everything goes on by itself when the store is back, with every row once.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::{fs, thread};

use facestream_tests::{Facestream, Kafka, Record, S3, scratch};
use toml::Table;

use crate::{LONG, assert_exactly_once, file_url, set};

/// Messages whose rows are some 500 bytes each, and cost no decoding.
fn texts(count: usize) -> Vec<Record> {
    (0..count).map(|n| Record { partition: (n % 2) as i32, payload: Some(b"no picture".to_vec()), ..Record::default() }).collect()
}

fn config(kafka: &Kafka, topic: &str, url: &str) -> Table {
    let mut config = Facestream::config(kafka, topic, topic, url);
    set(&mut config, "workers", "pending_rows", "1MiB");
    set(&mut config, "journal", "append_every", "200ms");
    config
}

/// Runs into an outage that `begin` brings about with frames on their way, stays in it until memory is at its bound, and sees that
/// everything is there after `end`.
fn endure(kafka: &Kafka, topic: &str, config: &Table, begin: impl FnOnce(), end: impl FnOnce()) -> Facestream {
    kafka.produce(topic, &texts(200));
    let mut running = Facestream::run(config, &[]);
    running.wait_until("an append of everything", LONG, |_| {
        let committed: i64 = kafka.committed(topic, topic).values().sum();
        if committed == 200 { Ok(()) } else { Err(committed.to_string()) }
    });
    running.wait_ready();
    begin();
    // More rows than their budget holds.
    kafka.produce(topic, &texts(6_000));
    running.wait_metric("facestream_partitions_paused", &[], LONG, |paused| paused == 2.0);
    running.wait_until("/readyz to turn red", LONG, |own| match own.get("/readyz") {
        Err(seen) if seen.contains("503") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert!(running.metric("facestream_store_errors_total", &[]) > 0.0);
    assert!(running.metric("facestream_backpressure_seconds_total", &[("budget", "pending_rows")]) > 0.0);
    let labels = [("budget", "pending_rows")];
    let peak = running.metric("facestream_budget_peak_bytes", &labels);
    assert!(peak <= running.metric("facestream_budget_limit_bytes", &labels), "{peak}");
    end();
    running.wait_until("everything to be appended", LONG, |_| {
        let committed: i64 = kafka.committed(topic, topic).values().sum();
        if committed == 6_200 { Ok(()) } else { Err(committed.to_string()) }
    });
    running.wait_ready();
    running.wait_metric("facestream_partitions_paused", &[], LONG, |paused| paused == 0.0);
    running
}

#[test]
fn a_store_that_does_not_answer_is_waited_for() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("silent-store", 2);
    let s3 = S3::start();
    let mut config = config(kafka, &topic, &s3.url("silent"));
    config["store"].as_table_mut().expect("a section").insert("options".to_owned(), s3.options().into());
    let running = endure(kafka, &topic, &config, || s3.signal("STOP"), || s3.signal("CONT"));
    let output = running.output();
    assert!(output.contains("the store failed") && output.contains("the store answers again"), "{output}");
    assert_eq!(running.terminate(LONG).code, Some(0));
    let folder = scratch();
    s3.download("silent", folder.path());
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_folder_that_cannot_be_written_is_waited_for() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("lost-folder", 2);
    let folder = scratch();
    let (journal, away) = (folder.path().join("_journal"), folder.path().join("away"));
    // What permissions are to others: root may do everything but write below a file.
    let begin = || {
        fs::rename(&journal, &away).expect("moving the journal away");
        fs::write(&journal, "in the way").expect("a file in its place");
    };
    let end = || {
        fs::remove_file(&journal).expect("removing the file");
        fs::rename(&away, &journal).expect("moving the journal back");
    };
    let running = endure(kafka, &topic, &config(kafka, &topic, &file_url(folder.path())), begin, end);
    let output = running.output();
    // An outage is said once for the process, now and then while it lasts, and when it is over: not once a try.
    let said = output.lines().filter(|line| line.contains("the store failed")).count();
    assert!((1..20).contains(&said), "{said} lines about the outage:\n{output}");
    assert!(output.contains("the store answers again"), "{output}");
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, folder.path());
}

#[test]
fn a_full_disk_is_waited_for() {
    let kafka = Kafka::shared();
    let Some(disk) = Disk::mount(8) else {
        eprintln!("SKIPPED a_full_disk_is_waited_for: it needs root, to mount a small disk");
        return;
    };
    let topic = kafka.topic("full-disk", 2);
    let ballast = disk.path().join("ballast");
    let fill = || {
        let mut file = fs::File::create(&ballast).expect("a file");
        while file.write_all(&[1; 4_096]).is_ok() {}
    };
    let empty = || fs::remove_file(&ballast).expect("removing the ballast");
    let running = endure(kafka, &topic, &config(kafka, &topic, &file_url(&disk.path().join("store"))), fill, empty);
    assert_eq!(running.terminate(LONG).code, Some(0));
    assert_exactly_once(kafka, &topic, &disk.path().join("store"));
}

#[test]
fn a_store_without_create_only_put_is_refused() {
    let kafka = Kafka::shared();
    let topic = kafka.topic("overwriting-store", 1);
    let mut config = config(kafka, &topic, "s3://bucket/prefix");
    let mut options = toml::toml! {
        region = "us-east-1"
        allow_http = "true"
        access_key_id = "tests"
        secret_access_key = "tests"
    };
    options.insert("endpoint".to_owned(), overwriting_store().into());
    config["store"].as_table_mut().expect("a section").insert("options".to_owned(), options.into());
    let finished = Facestream::run(&config, &[]).wait_exit(LONG);
    assert_eq!(finished.code, Some(3), "{}", finished.output);
    assert!(finished.output.contains("does not honour create-only PUT"), "{}", finished.output);
}

/// The address of a server that stores what it is sent, whatever the conditions, for as long as the test process runs.
fn overwriting_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        let objects: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::default();
        for connection in listener.incoming().flatten() {
            // One request a connection.
            serve(&connection, &objects).ok();
        }
    });
    address
}

fn serve(connection: &TcpStream, objects: &Mutex<BTreeMap<String, Vec<u8>>>) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    let (mut request, mut length) = (String::new(), 0);
    reader.read_line(&mut request)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().to_owned());
    let mut objects = objects.lock().expect("the objects");
    let (status, answer) = match method {
        "PUT" => {
            objects.insert(path, body);
            ("200 OK", Vec::new())
        }
        // Several are deleted by one request.
        "POST" => ("200 OK", b"<DeleteResult><Deleted><Key>any</Key></Deleted></DeleteResult>".to_vec()),
        "GET" => objects.get(&path).map_or(("404 Not Found", Vec::new()), |found| ("200 OK", found.clone())),
        _ => ("204 No Content", Vec::new()),
    };
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\nETag: \"x\"\r\nLast-Modified: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    )?;
    connection.write_all(&answer)
}

/// A small disk in memory, gone when the value is dropped or the test process is gone.
struct Disk {
    folder: tempfile::TempDir,
    watch: std::process::Child,
}

impl Disk {
    fn mount(mebibytes: u32) -> Option<Disk> {
        let folder = scratch();
        let size = format!("size={mebibytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).stderr(Stdio::null()).status();
        if !mount.is_ok_and(|status| status.success()) {
            return None;
        }
        // Waits for the end of a pipe whose other end only this process holds.
        let mut watch = Command::new("sh");
        watch.args(["-c", "read -r _; umount -l \"$0\""]).arg(folder.path()).stdin(Stdio::piped());
        Some(Disk { watch: watch.spawn().expect("starting sh"), folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        self.watch.wait().ok();
    }
}
