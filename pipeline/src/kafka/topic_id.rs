//! Kafka's ids of topics, through the part of librdkafka's admin interface that rust-rdkafka does not wrap.
//!
//! In: a client and topic names. Out: the id of each topic for which a broker tells one, as Kafka's own tools print it.
//! Invariant: every pointer that librdkafka hands out is freed here, and none gets out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

/// The ids of `topics`, asked in one request and within `limit`. Topics are left out that do not exist or may not be described,
/// and all are where the brokers know no ids (Kafka before 2.8) or do not answer: the caller goes on without the check.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &BTreeSet<Arc<str>>,
    limit: Duration,
) -> BTreeMap<Arc<str>, String> {
    let found = describe(client, topics, limit).unwrap_or_default();
    if found.len() < topics.len() {
        tracing::debug!("Kafka tells the ids of {} of {} topics; the others are not checked", found.len(), topics.len());
    }
    found
}

/// Something that librdkafka allocated, and how it is freed.
pub(super) struct Owned<T>(NonNull<T>, unsafe extern "C" fn(*mut T));

impl<T> Owned<T> {
    /// `None` where librdkafka gave a null pointer.
    pub(super) fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self(pointer, destroy))
    }

    pub(super) fn pointer(&self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the constructor that this destructor belongs to, and is freed only here.
        unsafe { (self.1)(self.pointer()) }
    }
}

fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &BTreeSet<Arc<str>>,
    limit: Duration,
) -> Option<BTreeMap<Arc<str>, String>> {
    let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    let names: Vec<CString> = topics.iter().map(|topic| CString::new(&**topic)).collect::<Result<_, _>>().ok()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let rk = client.native_ptr();

    // SAFETY: `rk` lives as long as `client`, `names` as long as `pointers`; librdkafka copies the names. Each constructor is
    // paired with its own destructor.
    let (wanted, options, queue) = unsafe {
        (
            Owned::new(
                native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
                native::rd_kafka_TopicCollection_destroy,
            )?,
            Owned::new(
                native::rd_kafka_AdminOptions_new(rk, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
                native::rd_kafka_AdminOptions_destroy,
            )?,
            Owned::new(native::rd_kafka_queue_new(rk), native::rd_kafka_queue_destroy)?,
        )
    };
    let mut text = [0; 256];
    // SAFETY: all pointers are live; the request keeps copies of topics and options, and a reference of the queue, so that an
    // answer after the limit is dropped by librdkafka.
    let answer = unsafe {
        native::rd_kafka_AdminOptions_set_request_timeout(options.pointer(), limit_ms, text.as_mut_ptr(), text.len());
        native::rd_kafka_DescribeTopics(rk, wanted.pointer(), options.pointer(), queue.pointer());
        Owned::new(native::rd_kafka_queue_poll(queue.pointer(), limit_ms), native::rd_kafka_event_destroy)?
    };
    // SAFETY: the event is live; descriptions belong to it and are read before it is freed. A result of another kind is null.
    unsafe {
        if native::rd_kafka_event_error(answer.pointer()) != RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let result = native::rd_kafka_event_DescribeTopics_result(answer.pointer());
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let descriptions = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Some((0..count).filter_map(|n| id_of(*descriptions.add(n))).collect())
    }
}

/// Name and id out of one description; `None` where the topic could not be described or has no id.
///
/// # Safety
/// `description` is live.
unsafe fn id_of(description: *const native::rd_kafka_TopicDescription_t) -> Option<(Arc<str>, String)> {
    // SAFETY: what is read belongs to the description; texts end in NUL. The code of a null error is "no error".
    unsafe {
        let error = native::rd_kafka_TopicDescription_error(description);
        let id = native::rd_kafka_TopicDescription_topic_id(description);
        if native::rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR_NO_ERROR || id.is_null() {
            return None;
        }
        if native::rd_kafka_Uuid_most_significant_bits(id) == 0 && native::rd_kafka_Uuid_least_significant_bits(id) == 0 {
            return None;
        }
        let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(description)).to_str().ok()?;
        let id = CStr::from_ptr(native::rd_kafka_Uuid_base64str(id)).to_str().ok()?;
        // Kafka's tools print the alphabet for URLs, librdkafka has the other one.
        Some((name.into(), id.replace('+', "-").replace('/', "_")))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn an_unreachable_broker_tells_nothing_within_the_limit() {
        // Nothing listens on the discard port.
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", "127.0.0.1:9").create().unwrap();
        let topics = BTreeSet::from(["frames".into()]);
        assert_eq!(topic_ids(client.client(), &topics, Duration::from_millis(200)), BTreeMap::new());
    }

    #[test]
    fn a_topic_that_is_not_there_is_left_out_and_ids_differ() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("one", 1, 1).unwrap();
        cluster.create_topic("two", 1, 1).unwrap();
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        let topics = BTreeSet::from(["one".into(), "two".into(), "three".into()]);
        let ids = topic_ids(client.client(), &topics, Duration::from_secs(20));
        assert!(!ids.contains_key("three"), "{ids:?}");
        assert!(ids.is_empty() || ids["one"] != ids["two"], "{ids:?}");
    }
}
