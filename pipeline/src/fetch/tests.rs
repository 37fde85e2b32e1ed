//! Fetches from real servers, files and a store in memory.

mod server;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crossbeam_channel::RecvTimeoutError;
use facestream_schemas::Reason::{Expired, FetchError, FetchRefused, InternalError, TooLarge};
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus::IntGauge;
use tokio::sync::oneshot;

use self::server::{Server, Step, answer, chunked, gate, ok, redirect};
use super::*;
use crate::config::{ByteSize, Config};

const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(20);

struct Setup {
    settings: config::Fetch,
    lookup: Arc<dyn Lookup>,
    buckets: Vec<(Place, Arc<dyn ObjectStore>)>,
    budget: Budget,
    metrics: Metrics,
}

/// Of at most 1,000 bytes, in two attempts of half a second.
fn setup(allow: &[&str]) -> Setup {
    let gauge = |name| IntGauge::new(name, "help").unwrap();
    let settings = config::Fetch {
        allow: allow.iter().map(ToString::to_string).collect(),
        max_bytes: ByteSize(1_000),
        timeout: Duration::from_millis(500),
        attempts: 2,
        concurrency: 3,
        ..Config::default().fetch
    };
    let budget = Budget::new(100_000, gauge("used"), gauge("peak"));
    Setup { settings, lookup: Arc::new(Names::of(|_, _| vec![])), buckets: vec![], budget, metrics: Metrics::new() }
}

impl Setup {
    fn names(mut self, names: Names, private: &str) -> Self {
        self.lookup = Arc::new(names);
        self.settings.private = vec![private.to_owned()];
        self
    }

    fn fetcher(&self) -> Fetcher {
        let allowed = parse(&self.settings).unwrap();
        let shared = (self.budget.clone(), self.metrics.clone(), Handle::current());
        Fetcher::with(&self.settings, allowed, Buckets::of(self.buckets.clone()), Arc::clone(&self.lookup), shared).unwrap()
    }

    fn fetches(&self, outcome: &str) -> u64 {
        self.metrics.fetches.with_label_values(&[outcome]).get()
    }
}

/// What a server may be asked for as it is.
fn of(server: &Server) -> Setup {
    setup(&[&server.uri("/")])
}

type Rule = Box<dyn Fn(&str, usize) -> Vec<&'static str> + Send + Sync>;

/// A resolver by a rule: (name, how many times it was asked for before) to addresses.
struct Names {
    rule: Rule,
    asked: AtomicUsize,
}

impl Names {
    fn of(rule: impl Fn(&str, usize) -> Vec<&'static str> + Send + Sync + 'static) -> Self {
        Self { rule: Box::new(rule), asked: AtomicUsize::new(0) }
    }
}

impl Lookup for Names {
    fn lookup(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, Arc<io::Error>>> {
        let found = (self.rule)(host, self.asked.fetch_add(1, SeqCst));
        async move {
            match found.as_slice() {
                [] => Err(Arc::new(io::Error::other("no such name"))),
                found => Ok(found.iter().map(|address| address.parse().unwrap()).collect()),
            }
        }
        .boxed()
    }
}

fn partition(number: i32) -> Partition {
    Partition { topic: "cams".into(), number }
}

fn start(fetcher: &Fetcher, number: i32, uri: &str, sha256: Option<[u8; 32]>) -> oneshot::Receiver<Fetched> {
    let (done, came) = oneshot::channel();
    let reference = Reference { uri: uri.to_owned(), sha256 };
    fetcher.fetch(partition(number), reference, || true, move |outcome| drop(done.send(outcome)));
    came
}

async fn fetch(fetcher: &Fetcher, uri: &str) -> Result<Vec<u8>, (Reason, String)> {
    checked(fetcher, uri, None).await
}

async fn checked(fetcher: &Fetcher, uri: &str, sha256: Option<[u8; 32]>) -> Result<Vec<u8>, (Reason, String)> {
    let came = timeout(PATIENCE, start(fetcher, 0, uri, sha256)).await.expect("an outcome in time").expect("an outcome");
    let (bytes, permit) = came.outcome.map_err(|rejection| (rejection.reason, rejection.error))?;
    assert_eq!(permit.bytes(), bytes.len(), "the memory that is used is what is accounted for");
    Ok(bytes.into())
}

fn assert_rejected(outcome: Result<Vec<u8>, (Reason, String)>, reason: Reason, mentions: &str) {
    let (found, error) = outcome.expect_err(mentions);
    assert!(found == reason && error.contains(mentions), "{found:?}: {error} instead of {reason:?} with {mentions}");
}

fn digest(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_with_its_memory_over_one_connection_and_is_counted() {
    let server = Server::start(|path, _| ok(path.as_bytes()));
    let setup = of(&server);
    let fetcher = setup.fetcher();
    for number in 0..20 {
        let path = format!("/cam/{number}?signed=yes");
        assert_eq!(fetch(&fetcher, &server.uri(&path)).await.unwrap(), path.as_bytes());
    }
    assert_eq!((server.requests(), server.connections()), (20, 1));
    let came = start(&fetcher, 0, &server.uri("/held"), None).await.unwrap();
    assert!(setup.budget.wait_until_empty(Duration::ZERO) == came.outcome.is_err());
    drop(came);
    assert!(setup.budget.wait_until_empty(Duration::ZERO));
    assert_eq!((setup.fetches("ok"), setup.metrics.queue_depth.of(Queue::Fetch).get()), (21, 0));
    assert_eq!(setup.metrics.fetched_bytes.get(), 10 * 17 + 10 * 18 + 5);
    assert_eq!(setup.metrics.stage_seconds.with_label_values(&["fetch"]).get_sample_count(), 21);
    assert_eq!(fetcher.waiting(&partition(0)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_largest_picture_is_read_whatever_the_server_says() {
    let (_gate, wait) = gate();
    let server = Server::start(move |path, _| match path {
        "/most" => ok(&[7; 1_000]),
        "/more" => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec();
            vec![Step::Send(head), Step::Wait(wait.clone())]
        }
        "/huge" => vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n".to_vec())],
        "/chunked/most" => chunked(&[7; 1_000]),
        "/chunked/more" => chunked(&[7; 1_001]),
        "/endless" => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            let chunk = [b"64\r\n".as_slice(), &[0; 100], b"\r\n"].concat();
            std::iter::once(head).chain(std::iter::repeat_n(chunk, 100_000)).map(Step::Send).collect()
        }
        _ => vec![Step::Send(b"HTTP/1.0 200 OK\r\n\r\nuntil it ends".to_vec()), Step::Close],
    });
    let setup = of(&server);
    let fetcher = setup.fetcher();
    assert_eq!(fetch(&fetcher, &server.uri("/most")).await.unwrap(), [7; 1_000]);
    assert_eq!(fetch(&fetcher, &server.uri("/chunked/most")).await.unwrap(), [7; 1_000]);
    assert_eq!(fetch(&fetcher, &server.uri("/plain")).await.unwrap(), b"until it ends");
    assert_rejected(fetch(&fetcher, &server.uri("/more")).await, TooLarge, "has 1001 bytes, fetch.max_bytes is 1000");
    assert_rejected(fetch(&fetcher, &server.uri("/chunked/more")).await, TooLarge, "more than 1000 bytes");
    assert_rejected(fetch(&fetcher, &server.uri("/endless")).await, TooLarge, "more than 1000 bytes");
    assert_eq!(server.requests(), 6, "none of these is tried twice");
    let (reason, _) = fetch(&fetcher, &server.uri("/huge")).await.unwrap_err();
    assert!(matches!(reason, TooLarge | FetchError));
    assert!(setup.budget.wait_until_empty(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_is_tried_again_and_is_an_error_in_the_end() {
    let cut = || vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec()), Step::Close];
    let server = Server::start(move |path, before| match path {
        "/once" if before > 0 => ok(b"abc"),
        "/empty" => ok(b""),
        // More than is announced is not part of it.
        "/longer" => vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef".to_vec()), Step::Close],
        _ => cut(),
    });
    let setup = of(&server);
    let fetcher = setup.fetcher();
    assert_eq!(fetch(&fetcher, &server.uri("/once")).await.unwrap(), b"abc");
    assert_eq!((server.requests(), setup.fetches("retry")), (2, 1));
    assert_rejected(fetch(&fetcher, &server.uri("/always")).await, FetchError, "the body broke off");
    assert_eq!(server.requests(), 4);
    assert_rejected(fetch(&fetcher, &server.uri("/empty")).await, FetchError, "is empty (tried 2 times)");
    assert_eq!(fetch(&fetcher, &server.uri("/longer")).await.unwrap(), b"abc");
    assert_eq!(setup.fetches("fetch_error"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_servers_are_given_up_on() {
    let (_gate, wait) = gate();
    let server = Server::start(move |path, _| match path {
        "/silent" => vec![Step::Wait(wait.clone())],
        _ => vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n".to_vec()),
            Step::Trickle(vec![0; 900], Duration::from_millis(20)),
        ],
    });
    let setup = of(&server);
    let fetcher = setup.fetcher();
    let started = Instant::now();
    assert_rejected(fetch(&fetcher, &server.uri("/silent")).await, FetchError, "no answer came within 500ms (tried 2 times)");
    assert_rejected(fetch(&fetcher, &server.uri("/trickle")).await, FetchError, "the whole body did not come within 500ms");
    assert!(started.elapsed() >= Duration::from_secs(2) && started.elapsed() < Duration::from_secs(5));
    assert!(setup.budget.wait_until_empty(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_and_what_will_not_is_not() {
    let server = Server::start(|path, before| match (path, before) {
        ("/overload", 1) | ("/throttled", 3) => ok(b"abc"),
        ("/overload", _) => answer("503 Service Unavailable", "", b"later"),
        ("/throttled", _) => answer("429 Too Many Requests", "retry-after: 1\r\n", b""),
        ("/gone", _) => answer("410 Gone", "", b""),
        ("/forbidden", _) => answer("403 Forbidden", "", b"no"),
        ("/partial", _) => answer("206 Partial Content", "", b"half"),
        ("/packed", _) => answer("200 OK", "content-encoding: gzip\r\n", b"\x1f\x8b"),
        ("/broken", _) => vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close],
        _ => answer("404 Not Found", "", b""),
    });
    let setup = of(&server);
    let fetcher = setup.fetcher();
    assert_eq!(fetch(&fetcher, &server.uri("/overload")).await.unwrap(), b"abc");
    let started = Instant::now();
    assert_eq!(fetch(&fetcher, &server.uri("/throttled")).await.unwrap(), b"abc");
    assert!(started.elapsed() >= Duration::from_secs(1), "the server asked for a second");
    assert_eq!((server.requests(), setup.fetches("retry")), (4, 2));
    assert_rejected(fetch(&fetcher, &server.uri("/none?sig=hunter2")).await, Expired, "/none: the server answered 404");
    assert_rejected(fetch(&fetcher, &server.uri("/gone")).await, Expired, "410");
    assert_rejected(fetch(&fetcher, &server.uri("/forbidden")).await, FetchError, "403");
    assert_rejected(fetch(&fetcher, &server.uri("/partial")).await, FetchError, "206");
    assert_rejected(fetch(&fetcher, &server.uri("/packed")).await, FetchError, "gzip");
    assert_eq!((server.requests(), setup.fetches("expired")), (9, 2));
    assert_rejected(fetch(&fetcher, &server.uri("/broken")).await, FetchError, "tried 2 times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_to_be_the_one_that_the_message_means() {
    let server = Server::start(|path, before| match (path, before) {
        ("/cut", 2) => vec![Step::Send(b"HTTP/1.0 200 OK\r\n\r\nab".to_vec()), Step::Close],
        ("/other", _) => ok(b"abd"),
        _ => ok(b"abc"),
    });
    let fetcher = of(&server).fetcher();
    let abc = Some(digest(ABC_SHA256));
    assert_eq!(checked(&fetcher, &server.uri("/abc"), abc).await.unwrap(), b"abc");
    let other = checked(&fetcher, &server.uri("/other"), abc).await;
    assert!(
        matches!(&other, Err((FetchError, error)) if error.contains(ABC_SHA256)
        && error.contains("a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9")),
        "{other:?}"
    );
    assert_eq!(server.requests(), 2, "another one would be the same");
    assert_eq!(checked(&fetcher, &server.uri("/cut"), abc).await.unwrap(), b"abc");
    assert_eq!(server.requests(), 4, "without a length it may have been cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_as_far_as_they_are_allowed() {
    let elsewhere = Server::start(|_, _| ok(b"secret"));
    let out = elsewhere.uri("/in/x");
    let server = Server::start(move |path, _| match path {
        "/in/a" => redirect("b?x=1"),
        "/in/b?x=1" => redirect("/in/c"),
        "/in/c" => redirect("d"),
        "/in/out" => redirect("/secret"),
        "/in/away" => redirect(&out),
        "/in/meta" => redirect("http://169.254.169.254/latest/"),
        "/in/loop" => redirect("/in/loop"),
        "/in/four" => redirect("/in/a"),
        "/in/d" => ok(b"abc"),
        _ => ok(b"secret"),
    });
    let fetcher = setup(&[&server.uri("/in/")]).fetcher();
    assert_eq!(fetch(&fetcher, &server.uri("/in/a")).await.unwrap(), b"abc");
    for path in ["/in/out", "/in/away", "/in/meta"] {
        assert_rejected(fetch(&fetcher, &server.uri(path)).await, FetchRefused, "redirects, and http://");
    }
    assert_rejected(fetch(&fetcher, &server.uri("/in/loop")).await, FetchError, "more than 3 times");
    assert_rejected(fetch(&fetcher, &server.uri("/in/four")).await, FetchError, "more than 3 times");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_reach_no_address_that_is_not_public_or_listed() {
    let server = Server::start(|_, _| answer("200 OK", "connection: close\r\n", b"abc"));
    let port = server.address.port();
    let uri = |name: &str| format!("http://{name}:{port}/x");
    let names = ["localhost", "inside.example", "meta.example", "rebinding.example", "both.example", "unknown.example"];
    let allow = names.map(|name| format!("http://{name}:{port}/"));
    let allow = allow.each_ref().map(String::as_str);
    let rule = |name: &str, before: usize| match (name, before) {
        ("rebinding.example", 0) => vec!["127.0.0.1"],
        ("meta.example", _) => vec!["169.254.169.254", "::ffff:10.0.0.1"],
        ("both.example", _) => vec!["127.0.0.2", "127.0.0.1", "::1"],
        ("unknown.example", _) => vec![],
        _ => vec!["127.0.0.2"],
    };
    // 127.0.0.1 stands for what is public.
    let listed = setup(&allow).names(Names::of(rule), "127.0.0.1/32");
    let fetcher = listed.fetcher();
    assert_eq!(fetch(&fetcher, &uri("rebinding.example")).await.unwrap(), b"abc");
    assert_rejected(fetch(&fetcher, &uri("rebinding.example")).await, FetchRefused, "its address 127.0.0.2 is not public");
    assert_rejected(fetch(&fetcher, &uri("localhost")).await, FetchRefused, "is not public");
    assert_rejected(fetch(&fetcher, &uri("inside.example")).await, FetchRefused, "fetch.private");
    assert_rejected(fetch(&fetcher, &uri("meta.example")).await, FetchRefused, "169.254.169.254");
    assert_eq!(fetch(&fetcher, &uri("both.example")).await.unwrap(), b"abc");
    assert_eq!(listed.fetches("retry"), 0, "what is refused stays refused");
    assert_rejected(fetch(&fetcher, &uri("unknown.example")).await, FetchError, "no such name (tried 2 times)");
    assert_eq!(server.connections(), 2);

    let unlisted = setup(&allow).names(Names::of(|_, _| vec!["127.0.0.1"]), "10.0.0.0/8").fetcher();
    assert_rejected(fetch(&unlisted, &uri("localhost")).await, FetchRefused, "is not public");
    let system = Setup { lookup: Arc::new(System::default()), ..setup(&allow) }.fetcher();
    assert_rejected(fetch(&system, &uri("localhost")).await, FetchRefused, "is not public");
    assert_eq!(server.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_an_error_that_gives_no_secret_away() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = setup(&[&format!("http://{free}/")]);
    let outcome = fetch(&setup.fetcher(), &format!("http://{free}/a.jpg?sig=hunter2")).await;
    let (reason, error) = outcome.unwrap_err();
    assert!(
        reason == FetchError && error.contains("refused") && error.contains("/a.jpg") && !error.contains("hunter2"),
        "{error}"
    );
    assert_eq!(setup.fetches("retry"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_fetched_at_a_time_as_configured() {
    let (gate, wait) = gate();
    let server = Server::start(move |_, _| std::iter::once(Step::Wait(wait.clone())).chain(ok(b"abc")).collect());
    let mut setup = of(&server);
    setup.settings.timeout = PATIENCE;
    let fetcher = setup.fetcher();
    let all: Vec<_> = (0..10).map(|number| start(&fetcher, 0, &server.uri(&format!("/{number}")), None)).collect();
    for _ in 0..3 {
        server.arrivals.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(server.arrivals.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
    assert_eq!((fetcher.waiting(&partition(0)), setup.metrics.queue_depth.of(Queue::Fetch).get()), (10, 10));
    drop(gate);
    for came in all {
        assert_eq!(timeout(PATIENCE, came).await.unwrap().unwrap().outcome.unwrap().0, "abc");
    }
    assert_eq!((server.peak(), server.requests()), (3, 10));
    assert!(server.connections() <= 4, "connections are used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_holds_up_no_other_partition() {
    let (gate, wait) = gate();
    let slow = Server::start(move |_, _| std::iter::once(Step::Wait(wait.clone())).chain(ok(b"abc")).collect());
    let fast = Server::start(|_, _| ok(b"abc"));
    let mut setup = setup(&[&slow.uri("/"), &fast.uri("/")]);
    setup.settings.timeout = PATIENCE;
    let fetcher = setup.fetcher();
    let hanging: Vec<_> = (0..30).map(|number| start(&fetcher, number % 2, &slow.uri("/x"), None)).collect();
    for _ in 0..3 {
        slow.arrivals.recv_timeout(PATIENCE).unwrap();
    }
    let quick: Vec<_> = (0..60).map(|number| start(&fetcher, 2 + number % 3, &fast.uri("/x"), None)).collect();
    for came in quick {
        assert!(timeout(PATIENCE, came).await.unwrap().unwrap().outcome.is_ok());
    }
    assert_eq!(slow.requests(), 3, "the others wait for these");
    drop(gate);
    for came in hanging {
        assert!(timeout(PATIENCE, came).await.unwrap().unwrap().outcome.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wants_any_more_is_given_up_without_a_word() {
    let server = Server::start(|_, _| answer("503 Service Unavailable", "", b""));
    let mut setup = of(&server);
    setup.settings.attempts = 50;
    let fetcher = setup.fetcher();
    let unwanted = |times: usize| {
        let asked = AtomicUsize::new(0);
        let (done, came) = oneshot::channel();
        let reference = Reference { uri: server.uri("/x"), sha256: None };
        let is_wanted = move || asked.fetch_add(1, SeqCst) < times;
        fetcher.fetch(partition(0), reference, is_wanted, move |outcome| drop(done.send(outcome)));
        came
    };
    assert!(timeout(PATIENCE, unwanted(0)).await.unwrap().is_err());
    assert_eq!(server.requests(), 0);
    assert!(timeout(PATIENCE, unwanted(2)).await.unwrap().is_err());
    assert_eq!((server.requests(), setup.metrics.queue_depth.of(Queue::Fetch).get()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bug_rejects_one_frame_and_its_place_is_free_again() {
    let server = Server::start(|_, _| ok(b"abc"));
    let fetcher = of(&server).fetcher();
    for _ in 0..10 {
        let (done, came) = oneshot::channel();
        let reference = Reference { uri: server.uri("/x"), sha256: None };
        fetcher.fetch(partition(0), reference, || panic!("a bug"), move |outcome| drop(done.send(outcome)));
        assert_eq!(timeout(PATIENCE, came).await.unwrap().unwrap().outcome.unwrap_err().reason, InternalError);
    }
    assert_eq!(fetch(&fetcher, &server.uri("/x")).await.unwrap(), b"abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_memory_is_no_failure_however_long_it_lasts() {
    let server = Server::start(|path, _| if path == "/chunked" { chunked(&[7; 500]) } else { ok(&[7; 500]) });
    let mut setup = of(&server);
    let gauge = |name| IntGauge::new(name, "help").unwrap();
    setup.budget = Budget::new(2_000, gauge("used"), gauge("peak"));
    setup.settings.timeout = Duration::from_millis(200);
    let fetcher = setup.fetcher();
    // Frames whose pictures are in memory, and a store that does not answer.
    let frames = (setup.budget.take(1_000), setup.budget.reserve(700).await);
    let held = Instant::now();
    let came = start(&fetcher, 0, &server.uri("/x"), None);
    let unknown = start(&fetcher, 1, &server.uri("/chunked"), None);
    // Longer than an attempt may take, several times over.
    tokio::time::sleep(4 * setup.settings.timeout).await;
    assert_eq!((fetcher.waiting(&partition(0)), fetcher.waiting(&partition(1))), (1, 1));
    let held = held.elapsed();
    drop(frames);
    for came in [came, unknown] {
        let Fetched { outcome, took } = timeout(PATIENCE, came).await.unwrap().unwrap();
        assert_eq!(outcome.unwrap().0, [7; 500].as_slice());
        assert!(took < held, "{took:?}: the wait for memory, {held:?}, is not part of it");
    }
    assert_eq!((server.requests(), setup.fetches("retry")), (4, 0), "let go of after a while, then asked for again");
    assert!(setup.budget.wait_until_empty(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_below_their_folder_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    std::fs::create_dir_all(path("frames/cam")).unwrap();
    for (name, bytes) in
        [("secret", &b"secret"[..]), ("frames/cam/a b.jpg", b"abc"), ("frames/big", &[0; 1_001]), ("frames/empty", b"")]
    {
        std::fs::write(path(name), bytes).unwrap();
    }
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
    link(Path::new("cam/a b.jpg"), "frames/inside");
    link(Path::new("../secret"), "frames/outside");
    link(&path("secret"), "frames/absolute");
    link(Path::new(".."), "frames/up");
    link(Path::new("turning"), "frames/turning");
    link(Path::new("/proc/self"), "frames/proc");
    rustix::fs::mknodat(rustix::fs::CWD, path("frames/pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("frames/socket")).unwrap();

    let folder = format!("file://{}/frames/", root.path().display());
    let setup = setup(&[&folder]);
    let fetcher = setup.fetcher();
    let at = |name: &str| format!("{folder}{name}");
    assert_eq!(fetch(&fetcher, &at("cam/a%20b.jpg")).await.unwrap(), b"abc");
    assert_eq!(checked(&fetcher, &at("inside"), Some(digest(ABC_SHA256))).await.unwrap(), b"abc");
    assert_rejected(checked(&fetcher, &at("inside"), Some([0; 32])).await, FetchError, ABC_SHA256);
    for name in ["outside", "absolute", "up/secret", "up/frames/inside", "turning", "proc/environ"] {
        assert_rejected(fetch(&fetcher, &at(name)).await, FetchRefused, "a link leads out");
    }
    for name in ["pipe", "socket", "cam"] {
        assert_rejected(fetch(&fetcher, &at(name)).await, FetchRefused, "not a regular file");
    }
    assert_rejected(fetch(&fetcher, &at("../secret")).await, FetchRefused, "not below anything");
    assert_rejected(fetch(&fetcher, &at("none")).await, Expired, "no such file");
    assert_rejected(fetch(&fetcher, &at("inside/x")).await, Expired, "no such file");
    assert_rejected(fetch(&fetcher, &at("big")).await, TooLarge, "has 1001 bytes");
    assert_eq!(setup.fetches("retry"), 0);
    assert_rejected(fetch(&fetcher, &at("empty")).await, FetchError, "is empty");
    assert!(setup.budget.wait_until_empty(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_read_from_the_bucket_that_the_uri_names() {
    let store = Arc::new(InMemory::new());
    for (key, bytes) in [("in/a b.jpg", &b"abc"[..]), ("in/big", &[0; 1_001]), ("secret", b"secret")] {
        store.put(&key.into(), bytes.to_vec().into()).await.unwrap();
    }
    let mut setup = setup(&["s3://frames/in/"]);
    setup.buckets = vec![(Place::Bucket { scheme: "s3", name: "frames".to_owned() }, store)];
    let fetcher = setup.fetcher();
    assert_eq!(checked(&fetcher, "s3://frames/in/a%20b.jpg", Some(digest(ABC_SHA256))).await.unwrap(), b"abc");
    assert_rejected(checked(&fetcher, "s3://frames/in/a%20b.jpg", Some([0; 32])).await, FetchError, ABC_SHA256);
    assert_rejected(fetch(&fetcher, "s3://frames/in/none").await, Expired, "s3://frames/in/none: there is no such object");
    assert_rejected(fetch(&fetcher, "s3://frames/in/big").await, TooLarge, "has 1001 bytes");
    assert_rejected(fetch(&fetcher, "s3://frames/in/../secret").await, FetchRefused, "not below anything");
    assert_rejected(fetch(&fetcher, "s3://other/in/a").await, FetchRefused, "not below anything");
    assert_eq!(setup.fetches("retry"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_by_default_and_nothing_set_up() {
    let setup = setup(&[]);
    let store = Config::default().store;
    let fetcher =
        Fetcher::new(&Config::default().fetch, &store, setup.budget.clone(), setup.metrics.clone(), Handle::current()).unwrap();
    assert_rejected(fetch(&fetcher, "https://cams.example/a.jpg").await, FetchRefused, "fetch.allow is empty");
    assert!(fetcher.0.sources.web.is_none() && fetcher.0.sources.folders.is_empty());
    assert!(setup.budget.wait_for_room(setup.budget.limit(), Duration::ZERO), "no share is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_set_up_for_every_place_that_is_allowed() {
    let setup = setup(&["s3://frames/a/", "s3://frames/b/", "az://c/", "https://cams.example/", "file:///srv/frames/"]);
    let options = [("region", "eu-west-1"), ("account_name", "me"), ("access_key_id", "k"), ("secret_access_key", "hunter2")];
    let options = options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let settings = config::Fetch { options, ..setup.settings };
    let store = Config::default().store;
    let fetcher = Fetcher::new(&settings, &store, setup.budget, setup.metrics, Handle::current()).unwrap();
    assert!(fetcher.0.sources.web.is_some());
    assert_eq!(fetcher.0.sources.folders.len(), 1);
}

/// Pictures that keep their memory until those before them are through: the first gets its memory though its answer comes last.
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_given_in_order_where_pictures_wait_for_those_before_them() {
    let (gate, wait) = gate();
    let server = Server::start(move |path, _| match path {
        "/first" => std::iter::once(Step::Wait(wait.clone())).chain(ok(&[7; 900])).collect(),
        "/gone" => answer("410 Gone", "", b""),
        _ => ok(&[7; 900]),
    });
    let mut setup = of(&server);
    setup.settings.timeout = PATIENCE;
    let gauge = |name| IntGauge::new(name, "help").unwrap();
    setup.budget = Budget::new(1_000, gauge("used"), gauge("peak"));
    let fetcher = setup.fetcher();
    fetcher.keep_order();
    let mut came: Vec<_> = ["/first", "/gone", "/third"].iter().map(|path| start(&fetcher, 0, &server.uri(path), None)).collect();
    // Another partition waits for nobody.
    let other = timeout(PATIENCE, start(&fetcher, 1, &server.uri("/other"), None)).await.expect("in time").unwrap();
    while server.requests() < 4 {
        tokio::task::yield_now().await;
    }
    drop((gate, other));
    let mut third = came.pop().unwrap();
    let first = timeout(PATIENCE, came.remove(0)).await.expect("an outcome in time").unwrap();
    assert_eq!(first.outcome.as_ref().unwrap().1.bytes(), 900);
    assert!(third.try_recv().is_err(), "there is no room for it");
    drop(first);
    assert!(timeout(PATIENCE, third).await.expect("an outcome in time").unwrap().outcome.is_ok());
}
