//! A web server that says and does exactly what a test wants, well-formed or not.
//!
//! In: a script from (path with query, how many requests came before) to what is done on the connection. Out: counts.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

pub(super) enum Step {
    Send(Vec<u8>),
    /// Until the gate is opened.
    Wait(Receiver<()>),
    /// One byte at a time, each after this long.
    Trickle(Vec<u8>, Duration),
    Close,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    now: AtomicUsize,
    peak: AtomicUsize,
}

pub(super) struct Server {
    pub address: SocketAddr,
    counts: Arc<Counts>,
    /// The path of each request as it comes.
    pub arrivals: Receiver<String>,
}

/// What waits at it goes on when it is dropped.
pub(super) struct Gate(#[allow(dead_code, reason = "dropping it is its use")] Sender<()>);

pub(super) fn gate() -> (Gate, Receiver<()>) {
    let (gate, wait) = bounded(0);
    (Gate(gate), wait)
}

/// An answer with a length.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<Step> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    vec![Step::Send([head.as_bytes(), body].concat())]
}

pub(super) fn ok(body: &[u8]) -> Vec<Step> {
    answer("200 OK", "", body)
}

/// An answer whose length shows only at its end.
pub(super) fn chunked(body: &[u8]) -> Vec<Step> {
    let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(100) {
        bytes.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    bytes.extend(b"0\r\n\r\n");
    vec![Step::Send(bytes)]
}

pub(super) fn redirect(to: &str) -> Vec<Step> {
    answer("302 Found", &format!("location: {to}\r\n"), b"")
}

impl Server {
    pub(super) fn start(script: impl Fn(&str, usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (counts, script) = (Arc::new(Counts::default()), Arc::new(script));
        let (arrived, arrivals) = bounded(10_000);
        let server = Self { address, counts: Arc::clone(&counts), arrivals };
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                counts.connections.fetch_add(1, SeqCst);
                let (counts, script, arrived) = (Arc::clone(&counts), Arc::clone(&script), arrived.clone());
                std::thread::spawn(move || serve(&connection, &counts, &*script, &arrived));
            }
        });
        server
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub(super) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(SeqCst)
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(SeqCst)
    }

    /// The most requests that were being answered at a time.
    pub(super) fn peak(&self) -> usize {
        self.counts.peak.load(SeqCst)
    }
}

fn serve(connection: &TcpStream, counts: &Counts, script: &dyn Fn(&str, usize) -> Vec<Step>, arrived: &Sender<String>) {
    let mut lines = BufReader::new(connection).lines();
    while let Some(Ok(request)) = lines.next() {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        for header in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
            assert!(!["accept-encoding", "authorization", "referer", "range"].contains(&name.as_str()), "{header}");
        }
        assert!(request.starts_with("GET "), "{request}");
        counts.peak.fetch_max(counts.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let steps = script(&path, counts.requests.fetch_add(1, SeqCst));
        let _ = arrived.send(path);
        let goes_on = work_off(steps, connection, || {
            counts.now.fetch_sub(1, SeqCst);
        });
        if !goes_on {
            break;
        }
    }
    let _ = connection.shutdown(std::net::Shutdown::Both);
}

/// Does one step after the other until one fails; `answered` is called before the last, after which the client may go on.
fn work_off(steps: Vec<Step>, mut connection: &TcpStream, answered: impl FnOnce()) -> bool {
    let last = steps.len().saturating_sub(1);
    let mut answered = Some(answered);
    let goes_on = steps.into_iter().enumerate().all(|(i, step)| {
        if let Some(answered) = answered.take_if(|_| i == last) {
            answered();
        }
        match step {
            Step::Send(bytes) => connection.write_all(&bytes).is_ok(),
            Step::Trickle(bytes, pause) => bytes.iter().all(|byte| {
                std::thread::sleep(pause);
                connection.write_all(&[*byte]).is_ok()
            }),
            Step::Wait(gate) => {
                let _ = gate.recv();
                true
            }
            Step::Close => false,
        }
    });
    if let Some(answered) = answered {
        answered();
    }
    goes_on
}
