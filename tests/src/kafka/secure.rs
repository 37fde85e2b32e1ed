//! A broker that lets in only who comes encrypted and says who he is, beside an open door for the harness itself.
//!
//! In: certificates made here. Out: a [`Kafka`] with two more listeners: SASL over TLS (PLAIN and SCRAM), and TLS that wants the
//! client's certificate, too. Invariant: on those two nothing is answered to anybody else.

use std::path::PathBuf;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::Kafka;
use super::broker::Doors;
use super::certificates::Certificates;
use crate::process::{free_port, scratch};

/// The user that the broker knows, by either mechanism.
pub const USER: &str = "facestream";

/// A broker with locked doors.
pub struct SecureKafka {
    kafka: Kafka,
    certificates: Certificates,
    sasl: u16,
    mutual: u16,
    _folder: TempDir,
}

impl SecureKafka {
    /// The broker that all tests of this process share.
    pub fn shared() -> &'static SecureKafka {
        static SHARED: OnceLock<SecureKafka> = OnceLock::new();
        SHARED.get_or_init(SecureKafka::start)
    }

    /// The user's password; nothing else has these letters.
    #[must_use]
    pub fn password() -> &'static str {
        "kafka-p4ssw0rd-7Yq2"
    }

    fn start() -> SecureKafka {
        let folder = scratch();
        let certificates = Certificates::make(folder.path());
        let (sasl, mutual) = (free_port(), free_port());
        let password = Self::password();
        let properties = format!(
            "ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             listener.name.locked.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.locked.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_{USER}=\"{password}\";\n\
             listener.name.locked.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.locked.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.mutual.ssl.client.auth=required\n",
            certificates.broker().display(),
            certificates.authority().display()
        );
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| format!("{mechanism}=[name={USER},password={password}]"));
        let doors = Doors {
            listeners: vec![("LOCKED", "SASL_SSL", sasl), ("MUTUAL", "SSL", mutual)],
            properties,
            scram_users: users.to_vec(),
        };
        SecureKafka { kafka: Kafka::behind(1, &doors), certificates, sasl, mutual, _folder: folder }
    }

    /// The harness's own way in, for topics and records.
    #[must_use]
    pub fn open(&self) -> &Kafka {
        &self.kafka
    }

    /// `host:port` that wants TLS and a user.
    #[must_use]
    pub fn sasl_ssl(&self) -> String {
        format!("127.0.0.1:{}", self.sasl)
    }

    /// `host:port` that wants TLS and a client's certificate.
    #[must_use]
    pub fn mutual_tls(&self) -> String {
        format!("127.0.0.1:{}", self.mutual)
    }

    /// The certificate of the authority that signed the broker's.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.certificates.authority()
    }

    /// That of an authority which did not.
    #[must_use]
    pub fn other_authority(&self) -> PathBuf {
        self.certificates.other_authority()
    }

    /// A client's certificate and its key.
    #[must_use]
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        self.certificates.client()
    }
}
