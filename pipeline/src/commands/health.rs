//! `facestream health`: whether the `facestream run` of the same configuration on this machine is ready, for container engines.
//!
//! In: the configuration, for `http.listen`. Out: what `/readyz` answers; exit code 0 where that is "ready", else 1. Invariant:
//! it needs nothing but the process that it asks: no shell, no curl, no token.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{Failure, Given, print};
use crate::config::Needs;

/// For connecting, and for each part of the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// More than `/readyz` ever says.
const LONGEST_ANSWER: u64 = 64 << 10;

const EXAMPLES: &str = "Examples:
  facestream health                         in the container, or beside the process, with its configuration
  facestream health --set http.listen=127.0.0.1:9464

Exit codes: 0 ready, 1 not ready or no answer, 2 the configuration is wrong.";

/// Ask the running process whether it is ready
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    given: Given,
}

/// Carries the command out. An error where the process is not ready.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (config, _) = args.given.load(Needs::default())?;
    let answer = ask(reachable(config.http.listen)?)?;
    print(&answer)
}

/// The address to ask at, of one that is listened on.
fn reachable(listen: SocketAddr) -> Result<SocketAddr, Failure> {
    if listen.port() == 0 {
        let text = "http.listen takes any free port: give --set http.listen=HOST:PORT as the log of the process has it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

/// What `/readyz` says if it is good.
fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let answer = exchange(address).with_context(|| format!("no answer from http://{address}/readyz"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(body.trim_end().to_owned()),
        Some("503") => bail!("not ready: {}", body.trim_end().replace('\n', "; ")),
        _ => bail!("http://{address} is not facestream: it answers {:?}", head.lines().next().unwrap_or_default()),
    }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: a server that answers and hangs up before it has read the last one resets the connection.
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is made of a server's answer.
    fn asked(answer: &'static str) -> anyhow::Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let asked = ask(address);
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        asked
    }

    #[test]
    fn only_a_200_is_ready() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n").unwrap(), "ready");
        let error = asked("HTTP/1.1 503 Service Unavailable\r\n\r\nnot joined\nno store\n").unwrap_err().to_string();
        assert_eq!(error, "not ready: not joined; no store");
        for other in ["HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0-OpenSSH\r\n", ""] {
            assert!(asked(other).unwrap_err().to_string().contains("is not facestream"), "{other}");
        }
    }

    #[test]
    fn no_answer_names_the_address() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let error = ask(free).unwrap_err();
        assert!(error.to_string().contains(&free.to_string()), "{error}");
        assert_eq!(crate::commands::exit_code(&error), 1);
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        let asked_at = |listen: &str| reachable(listen.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(asked_at("0.0.0.0:9464").unwrap(), "127.0.0.1:9464");
        assert_eq!(asked_at("[::]:9464").unwrap(), "[::1]:9464");
        assert_eq!(asked_at("10.0.0.7:1").unwrap(), "10.0.0.7:1");
        assert!(matches!(asked_at("0.0.0.0:0"), Err(Failure::Usage(_))));
    }
}
