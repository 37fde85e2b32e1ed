//! One broker as a process: KRaft, broker and controller in one, with 512 MB of heap.
//!
//! In: a folder, and the ports of all brokers of the cluster. Out: the process, which can be ended in either way and started
//! again on the same data and ports. Invariant: it never outlives the value that stands for it.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::Ending;
use crate::process::{free_port, signal, spawn, tail};
use crate::{cache, wait_for};

/// What one broker listens on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    client: u16,
    controller: u16,
}

impl Ports {
    pub(super) fn free() -> Ports {
        Ports { client: free_port(), controller: free_port() }
    }

    /// `host:port` for clients.
    pub(super) fn address(self) -> String {
        format!("127.0.0.1:{}", self.client)
    }
}

/// What a broker listens on besides its open listener, and what that needs.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Name, security protocol and port of each.
    pub(super) listeners: Vec<(&'static str, &'static str, u16)>,
    /// Lines for server.properties.
    pub(super) properties: String,
    /// Users by SCRAM, as Kafka's storage tool takes them.
    pub(super) scram_users: Vec<String>,
}

/// A broker's process with all that starting it again needs.
pub(super) struct Broker {
    folder: PathBuf,
    port: u16,
    starts: u32,
    process: Child,
}

impl Broker {
    /// Formats a folder below `parent` for broker `index` of those that listen on `ports`, and starts it.
    pub(super) fn start(parent: &Path, index: usize, ports: &[Ports], doors: &Doors) -> Broker {
        let folder = parent.join(format!("broker-{}", index + 1));
        fs::create_dir(&folder).expect("a folder for the broker");
        let properties = folder.join("server.properties");
        fs::write(&properties, server_properties(&folder, index, ports, doors)).expect("writing server.properties");
        format_storage(&properties, &doors.scram_users);
        Broker { process: process(&folder, 1), folder, port: ports[index].client, starts: 1 }
    }

    /// Ends the process and waits until it is gone.
    pub(super) fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Kill => self.process.kill().expect("killing a broker"),
            Ending::Term => signal(&self.process, "TERM"),
        }
        wait_for("the broker to end", Duration::from_mins(1), || match self.process.try_wait() {
            Ok(Some(_)) => Ok(()),
            _ => Err(format!("it runs{}", self.log_tail())),
        });
    }

    /// Starts it on the data that the one before left; its log goes into a new file.
    pub(super) fn start_again(&mut self) {
        self.starts += 1;
        self.process = process(&self.folder, self.starts);
    }

    /// Whether it takes connections; the others' word for it may be old. Panics with its log if it has ended.
    pub(super) fn listens(&mut self) -> bool {
        if let Ok(Some(status)) = self.process.try_wait() {
            panic!("Kafka ended with {status}{}", self.log_tail());
        }
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn log_tail(&self) -> String {
        tail(&log(&self.folder, self.starts))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn process(folder: &Path, start: u32) -> Child {
    spawn(java("512m").arg("kafka.Kafka").arg(folder.join("server.properties")), &log(folder, start))
}

fn log(folder: &Path, start: u32) -> PathBuf {
    folder.join(format!("broker-{start}.log"))
}

/// Java with Kafka's jars; short-lived, so the cheap collector and no machine-wide heap guess.
fn java(heap: &str) -> Command {
    let mut command = Command::new("java");
    command.arg(format!("-Xmx{heap}")).args([
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]);
    command.arg("-cp").arg(cache::kafka_jars().join("*"));
    command
}

fn format_storage(properties: &Path, scram_users: &[String]) {
    // Any 16 bytes, in URL-safe base64.
    let mut format = java("128m");
    format.args(["kafka.tools.StorageTool", "format", "-t", "ZmFjZXN0cmVhbS10ZXN0cw", "-c"]).arg(properties);
    for user in scram_users {
        format.args(["--add-scram", user]);
    }
    let done = format.output().unwrap_or_else(|error| panic!("starting java: {error}: run `make test`, which installs it"));
    assert!(done.status.success(), "formatting Kafka's storage: {}", String::from_utf8_lossy(&done.stderr));
}

/// A node that keeps nothing of importance, evicts dead members quickly, and is missed quickly when it is gone.
fn server_properties(folder: &Path, index: usize, ports: &[Ports], doors: &Doors) -> String {
    let Ports { client, controller } = ports[index];
    let voter = |(index, ports): (usize, &Ports)| format!("{}@127.0.0.1:{}", index + 1, ports.controller);
    let voters = ports.iter().enumerate().map(voter).collect::<Vec<_>>().join(",");
    let (mut listeners, mut protocols) = (String::new(), String::new());
    for (name, protocol, port) in &doors.listeners {
        write!(listeners, ",{name}://127.0.0.1:{port}").expect("writing to a string");
        write!(protocols, ",{name}:{protocol}").expect("writing to a string");
    }
    let mut text = format!(
        "process.roles=broker,controller\nnode.id={}\ncontroller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{client}{listeners}\nlog.dirs={}\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}\n{}",
        index + 1,
        folder.join("data").display(),
        doors.properties
    );
    let replicas = ports.len().min(3).to_string();
    let in_sync = if ports.len() < 3 { "1" } else { "2" };
    for (key, value) in [
        ("controller.listener.names", "CONTROLLER"),
        ("auto.create.topics.enable", "false"),
        ("min.insync.replicas", in_sync),
        ("offsets.topic.num.partitions", "1"),
        ("offsets.topic.replication.factor", &replicas),
        ("transaction.state.log.num.partitions", "1"),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", in_sync),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", &replicas),
        ("share.coordinator.state.topic.min.isr", in_sync),
        ("message.max.bytes", "33554432"),
        ("broker.session.timeout.ms", "3000"),
        ("broker.heartbeat.interval.ms", "500"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.min.session.timeout.ms", "1000"),
        // The same for the protocol of KIP-848, where these are the broker's to say.
        ("group.consumer.min.session.timeout.ms", "1000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "300"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
    ] {
        writeln!(text, "{key}={value}").expect("writing to a string");
    }
    text
}
