//! Against servers that break off, lie, know no ranges, or are slow.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;

const QUICK: Patience = Patience {
    attempts: 3,
    first_pause: Duration::from_millis(5),
    connect: Duration::from_secs(20),
    silence: Duration::from_secs(20),
};

/// What a server does with a request: where the range begins that is asked for, and how many requests came before.
type Script = dyn Fn(Option<u64>, usize, &mut TcpStream) -> io::Result<()> + Send + Sync;

struct Server {
    address: SocketAddr,
    /// Where each request's range began.
    asked: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    fn start(script: impl Fn(Option<u64>, usize, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let (seen, script) = (Arc::clone(&asked), Arc::<Script>::from(Box::new(script) as Box<Script>));
        std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || {
                    let range = range(&connection);
                    let nth = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(range);
                        seen.len() - 1
                    };
                    let _ = script(range, nth, &mut connection);
                });
            }
        });
        Self { address, asked }
    }

    fn order(&self, folder: &TempDir, content: &[u8]) -> Order {
        Order {
            url: format!("http://{}/models/it.onnx", self.address).parse().unwrap(),
            sha256: format!("{:x}", Sha256::digest(content)),
            bytes: content.len() as u64,
            to: folder.path().join("it.onnx"),
        }
    }

    fn asked(&self) -> Vec<Option<u64>> {
        self.asked.lock().unwrap().clone()
    }
}

fn range(connection: &TcpStream) -> Option<u64> {
    let lines = BufReader::new(connection).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: Vec<_> = lines.map(|line| line.to_ascii_lowercase()).collect();
    headers.iter().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok())
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect()
}

fn head(status: &str, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n")
}

/// Answers as a good server does.
fn serve(content: &[u8], range: Option<u64>, to: &mut TcpStream) -> io::Result<()> {
    let Some(first) = range.map(|first| first as usize) else {
        to.write_all(head("200 OK", "", content.len()).as_bytes())?;
        return to.write_all(content);
    };
    let headers = format!("content-range: bytes {first}-{}/{}\r\n", content.len() - 1, content.len());
    to.write_all(head("206 Partial Content", &headers, content.len() - first).as_bytes())?;
    to.write_all(&content[first..])
}

/// Only the first `length` bytes of the file, although all of it is promised.
fn serve_up_to(content: &[u8], length: usize, range: Option<u64>, to: &mut TcpStream) -> io::Result<()> {
    let first = range.unwrap_or(0) as usize;
    let headers = format!("content-range: bytes {first}-{}/{}\r\n", content.len() - 1, content.len());
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    to.write_all(head(status, &headers, content.len() - first).as_bytes())?;
    to.write_all(&content[first..length.max(first)])
}

fn pull(order: &Order) -> Result<(), PullError> {
    download(order, QUICK, &ProgressBar::hidden())
}

fn part(order: &Order) -> PathBuf {
    PathBuf::from(format!("{}.part", order.to.display()))
}

#[track_caller]
fn assert_there(order: &Order, content: &[u8]) {
    assert!(fs::read(&order.to).unwrap() == content);
    assert!(!part(order).exists());
}

#[test]
fn a_file_is_fetched_whole_in_place_of_a_wrong_one() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    let server = Server::start(move |range, _, to| serve(&file, range, to));
    let order = server.order(&folder, &content);
    fs::write(&order.to, "something else").unwrap();
    pull(&order).unwrap();
    assert_there(&order, &content);
    assert_eq!(server.asked(), [None]);
}

#[test]
fn what_breaks_off_is_gone_on_from_in_this_run_and_the_next() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    // 100,000 bytes a request.
    let server = Server::start(move |range, _, to| serve_up_to(&file, range.unwrap_or(0) as usize + 100_000, range, to));
    let order = server.order(&folder, &content);
    let said = pull(&order).unwrap_err().to_string();
    assert!(said.contains("3 attempts") && said.contains("goes on from there"), "{said}");
    assert_eq!(fs::metadata(part(&order)).unwrap().len(), 300_000);
    assert!(!order.to.exists());
    while pull(&order).is_err() {}
    assert_there(&order, &content);
    // 1,200,000 bytes: twelve times, each from where the last one ended.
    assert_eq!(server.asked(), (0..12).map(|n| (n > 0).then_some(n * 100_000)).collect::<Vec<_>>());
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    let server = Server::start(move |_, nth, to| match nth {
        0 => serve_up_to(&file, 5_000, None, to),
        _ => serve(&file, None, to),
    });
    let order = server.order(&folder, &content);
    pull(&order).unwrap();
    assert_there(&order, &content);
    assert_eq!(server.asked(), [None, Some(5_000)]);
}

#[test]
fn pieces_of_two_versions_are_fetched_once_more_as_a_whole() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    let server = Server::start(move |range, _, to| serve(&file, range, to));
    let order = server.order(&folder, &content);
    fs::write(part(&order), [7; 1_000]).unwrap();
    pull(&order).unwrap();
    assert_there(&order, &content);
    assert_eq!(server.asked(), [Some(1_000), None]);
    // A part that is complete needs no request; one that is too long none of itself.
    fs::rename(&order.to, part(&order)).unwrap();
    pull(&order).unwrap();
    assert_eq!(server.asked().len(), 2);
    fs::write(part(&order), [content.as_slice(), b"more"].concat()).unwrap();
    pull(&order).unwrap();
    assert_there(&order, &content);
    assert_eq!(server.asked().last(), Some(&None));
}

#[test]
fn wrong_bytes_are_an_error_and_nothing_of_them_is_kept() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let mut other = content.clone();
    other[777] ^= 1;
    let longer = [content.as_slice(), b"!"].concat();
    let endless = |file: Vec<u8>| {
        move |_: Option<u64>, _: usize, to: &mut TcpStream| {
            to.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
            to.write_all(&file)
        }
    };
    let whole = |file: Vec<u8>| move |range: Option<u64>, _: usize, to: &mut TcpStream| serve(&file, range, to);
    for (server, says) in [
        (Server::start(whole(other)), "sha256"),
        (Server::start(whole(longer.clone())), "1200001 bytes, expected 1200000 bytes"),
        (Server::start(whole(b"<html>".to_vec())), "6 bytes, expected 1200000 bytes"),
        (Server::start(endless(longer)), "more than 1200000 bytes"),
    ] {
        let order = server.order(&folder, &content);
        let said = pull(&order).unwrap_err().to_string();
        assert!(said.contains(says) && said.contains("other bytes than expected"), "{said}");
        assert!(!part(&order).exists() && !order.to.exists());
        assert_eq!(server.asked(), [None]);
    }
}

#[test]
fn what_another_try_does_not_mend_is_not_tried_again() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    for (status, tries) in
        [("404 Not Found", 1), ("403 Forbidden", 1), ("503 Service Unavailable", 3), ("429 Too Many Requests", 3)]
    {
        let server = Server::start(move |_, _, to| to.write_all(head(status, "", 0).as_bytes()));
        let order = server.order(&folder, &content);
        let said = pull(&order).unwrap_err().to_string();
        assert!(said.contains(status) && said.contains("/models/it.onnx"), "{said}");
        assert_eq!(server.asked().len(), tries, "{status}");
    }
}

#[test]
fn a_range_that_was_not_asked_for_is_not_believed() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    let server = Server::start(move |range, nth, to| match (nth, range) {
        (0, _) => serve_up_to(&file, 5_000, None, to),
        (1, _) => serve(&file, Some(4_000), to),
        (2, None) => serve_up_to(&file, 9_000, None, to),
        _ => to.write_all(head("416 Range Not Satisfiable", "", 0).as_bytes()),
    });
    let order = server.order(&folder, &content);
    pull(&order).unwrap_err();
    assert_eq!(server.asked(), [None, Some(5_000), None]);
    let said = pull(&order).unwrap_err().to_string();
    assert!(said.contains("416") || said.contains("no such range"), "{said}");
    assert_eq!(server.asked()[3], Some(9_000));
    assert_eq!(server.asked()[4], None);
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
    let (folder, content) = (TempDir::new().unwrap(), content()[..40].to_vec());
    let file = content.clone();
    // Byte by byte, longer than the silence that is borne; the first time it stops in the middle and holds the connection.
    let server = Server::start(move |range, nth, to| {
        let first = range.unwrap_or(0) as usize;
        let headers = format!("content-range: bytes {first}-39/40\r\n");
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        to.write_all(head(status, &headers, 40 - first).as_bytes())?;
        for byte in &file[first..if nth == 0 { 20 } else { 40 }] {
            std::thread::sleep(Duration::from_millis(20));
            to.write_all(&[*byte])?;
        }
        let _ = io::copy(to, &mut io::sink());
        Ok(())
    });
    let order = server.order(&folder, &content);
    download(&order, Patience { silence: Duration::from_secs(2), ..QUICK }, &ProgressBar::hidden()).unwrap();
    assert_there(&order, &content);
    assert_eq!(server.asked(), [None, Some(20)]);
}

#[test]
fn redirects_are_followed_and_not_for_ever() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let file = content.clone();
    let server = Server::start(move |range, nth, to| match nth {
        0 | 1 => to.write_all(head("302 Found", "location: /elsewhere\r\n", 0).as_bytes()),
        _ => serve(&file, range, to),
    });
    let order = server.order(&folder, &content);
    pull(&order).unwrap();
    assert_there(&order, &content);
    let server = Server::start(move |_, _, to| to.write_all(head("302 Found", "location: /again\r\n", 0).as_bytes()));
    let said = pull(&server.order(&folder, &content)).unwrap_err().to_string();
    assert!(said.contains("redirect"), "{said}");
}

#[test]
fn no_server_is_said_and_a_part_is_one_processs() {
    let (folder, content) = (TempDir::new().unwrap(), content());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server { address: nobody, asked: Arc::default() };
    let order = server.order(&folder, &content);
    let said = pull(&order).unwrap_err().to_string();
    assert!(said.contains("the connection failed") && said.contains(&nobody.to_string()), "{said}");
    assert!(!part(&order).exists() && !said.contains("kept"), "{said}");
    let _held = Part::open(&order.to).unwrap();
    assert!(matches!(pull(&order), Err(PullError::Busy(_))));
    let nowhere = Order { to: folder.path().join("not/there/it.onnx"), ..order };
    assert!(matches!(pull(&nowhere), Err(PullError::Write { .. })));
}
