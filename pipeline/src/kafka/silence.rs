//! Why the brokers do not answer, and what mends it: a request itself only ever says that it failed.
//!
//! In: what librdkafka reports while it tries to connect. Out: [`Silence`], which names brokers, protocol, cause and the keys to look
//! at. Invariant: the most telling cause is kept, whatever comes later; no secret is part of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::Kafka;

/// How long a client that was never polled is listened to.
const LISTEN: Duration = Duration::from_millis(300);

/// Why there is no answer; the later say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Nobody is there, or cannot be reached. It may pass.
    Unreachable,
    /// Somebody is there and hangs up: it expects something else.
    Protocol,
    /// It does not believe this client's certificate.
    OurCertificate,
    /// Its certificate is not believed here.
    TheirCertificate,
    /// It does not let this user in.
    Credentials,
}

impl Cause {
    /// By librdkafka's code, and by the words that it and OpenSSL use.
    fn of(code: Option<RDKafkaErrorCode>, reason: &str) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if code == Some(RDKafkaErrorCode::Authentication) || says(&["SASL authentication error", "SASL handshake failed"]) {
            Self::Credentials
        } else if says(&["alert bad certificate", "certificate required", "alert unknown ca", "alert certificate"]) {
            Self::OurCertificate
        } else if says(&["certificate verify failed"]) {
            Self::TheirCertificate
        } else if code == Some(RDKafkaErrorCode::SSL)
            || says(&["SSL handshake", "SSL_HANDSHAKE", "security.protocol", "in state APIVERSION_QUERY", "in state UP"])
        {
            Self::Protocol
        } else {
            Self::Unreachable
        }
    }
}

/// What a client has heard: a client's context of its own, or part of one.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Option<(Cause, String)>>);

impl Heard {
    /// Takes one report in. Whether it is the first, or says more than those before it.
    pub fn take(&self, code: Option<RDKafkaErrorCode>, reason: &str) -> bool {
        let is_a_summary = code == Some(RDKafkaErrorCode::AllBrokersDown) || reason.ends_with("brokers are down");
        let cause = Cause::of(code, reason);
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_a_summary || heard.as_ref().is_some_and(|(before, _)| *before >= cause) {
            return false;
        }
        *heard = Some((cause, bare(reason).to_owned()));
        true
    }

    /// What to say of brokers that gave no answer.
    pub fn silence(&self, kafka: &Kafka, brokers: &str) -> Silence {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (cause, reason) = heard.unwrap_or((Cause::Unreachable, "it took too long".to_owned()));
        let how = how(kafka);
        let (what, mend) = match cause {
            Cause::Unreachable => (
                format!("no answer from {brokers} ({how})"),
                "is it running, and are kafka.brokers and [kafka.properties] right?",
            ),
            Cause::Protocol => (
                format!("{brokers} hangs up on this client ({how})"),
                "is \"security.protocol\" in [kafka.properties] what its listener expects (PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL)?",
            ),
            Cause::OurCertificate => (
                format!("{brokers} does not accept this client's certificate ({how})"),
                "give one that it trusts as \"ssl.certificate.location\" and \"ssl.key.location\" in [kafka.properties]",
            ),
            Cause::TheirCertificate => (
                format!("the certificate of {brokers} is not trusted ({how})"),
                "give that of the authority which signed it as \"ssl.ca.location\" in [kafka.properties], and call the brokers in \
                 kafka.brokers by a name that is in their certificates",
            ),
            Cause::Credentials => (
                format!("{brokers} does not let this client in ({how})"),
                "look at \"sasl.username\", \"sasl.password\" and \"sasl.mechanism\" in [kafka.properties]",
            ),
        };
        Silence { text: format!("{what}: {reason}: {mend}"), is_refusal: cause > Cause::Unreachable }
    }
}

impl ClientContext for Heard {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, message: &str) {
        self.take(None, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.take(error.rdkafka_error_code(), reason);
    }
}

impl ConsumerContext for Heard {}

/// The settings of a client that says why it does not connect: librdkafka only notes it when a broker hangs up.
#[must_use]
pub fn telling(mut client: ClientConfig) -> ClientConfig {
    if (client.log_level as i32) < RDKafkaLogLevel::Info as i32 {
        client.set_log_level(RDKafkaLogLevel::Info);
    }
    client
}

/// Takes in what a client has to say that nobody polls: reports come with polling.
pub fn listen<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    let until = Instant::now() + LISTEN;
    while Instant::now() < until {
        drop(consumer.poll(LISTEN / 6));
    }
}

/// Brokers that do not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Silence {
    text: String,
    is_refusal: bool,
}

impl Silence {
    /// Whether they are there and want something else than what is configured: waiting does not help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.is_refusal
    }
}

/// How the brokers are spoken to: protocol, mechanism, user.
fn how(kafka: &Kafka) -> String {
    let property = |names: &[&str]| names.iter().find_map(|name| kafka.properties.get(*name));
    let protocol = property(&["security.protocol"]).map_or_else(|| "PLAINTEXT".to_owned(), |name| name.to_uppercase());
    let mut how = vec![protocol];
    if how[0].starts_with("SASL") {
        how.extend(property(&["sasl.mechanism", "sasl.mechanisms"]).cloned());
        how.extend(property(&["sasl.username"]).map(|name| format!("user {name}")));
    }
    how.join(", ")
}

/// A report without the thread and the broker that it begins with, and without the duration that it ends with.
fn bare(reason: &str) -> &str {
    let reason = reason.split_once("]: ").map_or(reason, |(_, rest)| rest);
    let reason = match reason.split_once("/bootstrap: ") {
        Some((_, rest)) => rest,
        None => reason,
    };
    reason.rsplit_once(" (after ").map_or(reason, |(rest, _)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What librdkafka 2 reported of Apache Kafka 4.1, with what was wrong.
    const REPORTS: [(Option<RDKafkaErrorCode>, &str, Cause); 8] = [
        (
            Some(RDKafkaErrorCode::Authentication),
            "sasl_ssl://127.0.0.1:9094/bootstrap: SASL authentication error: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512 (after 337ms in state AUTH_REQ)",
            Cause::Credentials,
        ),
        (
            Some(RDKafkaErrorCode::SSL),
            "sasl_ssl://127.0.0.1:9094/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
             certificate could not be verified, verify that ssl.ca.location is correctly configured (after 14ms in state SSL_HANDSHAKE)",
            Cause::TheirCertificate,
        ),
        (
            None,
            "[thrd:127.0.0.1:9094/bootstrap]: 127.0.0.1:9094/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN \
             (after 3ms in state APIVERSION_QUERY)",
            Cause::Protocol,
        ),
        (
            Some(RDKafkaErrorCode::BrokerTransportFailure),
            "ssl://127.0.0.1:9092/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a \
             PLAINTEXT broker listener? (after 23ms in state SSL_HANDSHAKE)",
            Cause::Protocol,
        ),
        (
            Some(RDKafkaErrorCode::BrokerTransportFailure),
            "ssl://127.0.0.1:9094/bootstrap: Send failed: error:80000020:system library::Broken pipe: tls_retry_write_records failure \
             (after 0ms in state UP)",
            Cause::Protocol,
        ),
        (
            Some(RDKafkaErrorCode::Authentication),
            "sasl_plaintext://127.0.0.1:9092/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL \
             state: broker's supported mechanisms:  (after 1ms in state AUTH_HANDSHAKE)",
            Cause::Credentials,
        ),
        (
            Some(RDKafkaErrorCode::BrokerTransportFailure),
            "ssl://127.0.0.1:9095/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number \
             42 (after 0ms in state APIVERSION_QUERY)",
            Cause::OurCertificate,
        ),
        (
            Some(RDKafkaErrorCode::BrokerTransportFailure),
            "127.0.0.1:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state CONNECT)",
            Cause::Unreachable,
        ),
    ];

    #[test]
    fn each_cause_is_told_by_what_librdkafka_says() {
        for (code, reason, cause) in REPORTS {
            assert_eq!(Cause::of(code, reason), cause, "{reason}");
        }
    }

    #[test]
    fn the_most_telling_report_is_kept_and_said_with_what_mends_it() {
        let mut kafka = Config::default().kafka;
        let given =
            [("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "secret")];
        kafka.properties = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let heard = Heard::default();
        assert!(!heard.silence(&kafka, "b:1").is_refusal());
        let [password, .., unreachable] = REPORTS;
        assert!(heard.take(unreachable.0, unreachable.1));
        assert!(heard.take(password.0, password.1) && !heard.take(password.0, password.1));
        assert!(
            !heard.take(unreachable.0, unreachable.1)
                && !heard.take(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down")
        );
        let silence = heard.silence(&kafka, "b:1");
        assert!(silence.is_refusal());
        assert_eq!(
            silence.to_string(),
            "b:1 does not let this client in (SASL_SSL, PLAIN, user u): SASL authentication error: Authentication failed during \
             authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512: look at \"sasl.username\", \
             \"sasl.password\" and \"sasl.mechanism\" in [kafka.properties]"
        );
    }
}
