//! A server that hands out a store's credentials to workloads, as clouds do: to a container that shows its token (EKS pod identity),
//! and over TLS to one that shows an identity token (STS, `AssumeRoleWithWebIdentity`).
//!
//! In: key and secret to hand out, and the token that has to be shown. Out: addresses, and the environment that a workload gets.
//! Invariant: without the token nothing is handed out. What is handed out has no session token: versitygw knows none.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

use crate::kafka::certificates::Certificates;
use crate::process::{free_port, scratch, spawn, tail};
use crate::{cache, wait_for};

/// What a workload shows.
const TOKEN: &str = "workload-t0ken-9Kd3";

const SERVE: &str = "
import http.server, json, ssl, sys, threading, urllib.parse
plain_port, tls_port, certificate, key, secret, token = sys.argv[1:]
later = '2099-01-01T00:00:00Z'
xml = f'''<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken></SessionToken>
<Expiration>{later}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>'''
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, shown, body):
        self.send_response(200 if shown == token else 403)
        self.send_header('Content-Length', str(len(body) if shown == token else 0))
        self.end_headers()
        if shown == token:
            self.wfile.write(body.encode())
    def do_GET(self):
        self.answer(self.headers.get('Authorization'), json.dumps(
            {'AccessKeyId': key, 'SecretAccessKey': secret, 'Token': '', 'Expiration': later}))
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0)).decode()
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query) | urllib.parse.parse_qs(body)
        self.answer(query.get('WebIdentityToken', [''])[0], xml)
plain = http.server.ThreadingHTTPServer(('127.0.0.1', int(plain_port)), Handler)
tls = http.server.ThreadingHTTPServer(('127.0.0.1', int(tls_port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate)
tls.socket = context.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=tls.serve_forever, daemon=True).start()
plain.serve_forever()
";

/// A running server.
pub struct Credentials {
    process: Child,
    plain: u16,
    tls: u16,
    folder: TempDir,
}

impl Credentials {
    /// Hands out this key and secret.
    #[must_use]
    pub fn serve(key: &str, secret: &str) -> Credentials {
        let folder = scratch();
        let certificates = Certificates::make(folder.path());
        fs::write(folder.path().join("token"), TOKEN).expect("writing the token");
        let (plain, tls, log) = (free_port(), free_port(), folder.path().join("credentials.log"));
        let mut server = Command::new(cache::python());
        server.args(["-c", SERVE, &plain.to_string(), &tls.to_string()]).arg(certificates.broker()).args([key, secret, TOKEN]);
        let process = spawn(&server, &log);
        for port in [plain, tls] {
            wait_for("the server of credentials to listen", Duration::from_mins(1), || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("{error}{}", tail(&log)))
            });
        }
        Credentials { process, plain, tls, folder }
    }

    /// The environment of a container with a pod identity.
    #[must_use]
    pub fn of_a_container(&self) -> Vec<(String, String)> {
        let address = format!("http://127.0.0.1:{}/credentials", self.plain);
        environment(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &address),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &self.path("token")),
        ])
    }

    /// The environment of a workload with an identity token; it trusts the server's authority.
    #[must_use]
    pub fn of_a_web_identity(&self) -> Vec<(String, String)> {
        environment(&[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &self.path("token")),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/facestream"),
            ("AWS_ENDPOINT_URL_STS", &format!("https://127.0.0.1:{}", self.tls)),
            ("SSL_CERT_FILE", &self.path("ca.pem")),
        ])
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
