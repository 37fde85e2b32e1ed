//! A message's headers as they came, through the part of librdkafka's interface that rust-rdkafka wraps too tightly: it panics where
//! a name is not UTF-8, and any producer can send one.
//!
//! In: a message. Out: its headers in order, names as text (what is not UTF-8 becomes U+FFFD), null values apart from empty ones.
//! Invariant: what is handed out lives as long as the message, which owns it.

use std::borrow::Cow;
use std::ffi::CStr;
use std::ptr;

use rdkafka::bindings as native;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A header's name and value.
pub(crate) type Header<'a> = (Cow<'a, str>, Option<&'a [u8]>);

/// All headers of a message, in order.
pub(crate) fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Vec<Header<'a>> {
    let mut list = ptr::null_mut();
    // SAFETY: the message is alive for 'a, and owns the list that it gives.
    let error = unsafe { native::rd_kafka_message_headers(message.ptr(), &raw mut list) };
    if error != RD_KAFKA_RESP_ERR_NO_ERROR || list.is_null() {
        return Vec::new();
    }
    (0..).map_while(|index| header(list, index)).collect()
}

/// The header of that number; `None` beyond the last. The list must be alive for 'a.
fn header<'a>(list: *const native::rd_kafka_headers_t, index: usize) -> Option<Header<'a>> {
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the list is alive; name and value are written where there is such a header, and belong to the list.
    let error = unsafe { native::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size) };
    if error != RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: librdkafka ends names with a zero byte, and the list is alive for 'a.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    // SAFETY: a value that is not null has `size` bytes, alive for 'a.
    let value = (!value.is_null()).then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) });
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

    use super::*;

    const WAIT: Duration = Duration::from_mins(1);

    #[test]
    fn a_name_that_is_not_utf_8_is_read_like_any_other_and_null_is_not_empty() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let client = |more: &str| {
            let mut client = ClientConfig::new();
            client.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", more);
            client
        };
        let sent = OwnedHeaders::new().insert(Header { key: "a", value: Some("1") });
        let list = ptr::from_ref(sent.as_borrowed()).cast_mut().cast::<native::rd_kafka_headers_t>();
        // SAFETY: the list is alive, nobody else has it, and librdkafka copies name and value, of which it is told the lengths.
        let added = unsafe { native::rd_kafka_header_add(list, c"cam\xff".as_ptr(), 4, c"2".as_ptr().cast(), 1) };
        assert_eq!(added, RD_KAFKA_RESP_ERR_NO_ERROR);
        let sent = sent.insert(Header { key: "a", value: Some("") }).insert(Header::<&str> { key: "b", value: None });
        let producer: BaseProducer = client("none").create().unwrap();
        producer.send(BaseRecord::<(), [u8]>::to("t").payload(b"value").headers(sent)).map_err(|(error, _)| error).unwrap();
        producer.send(BaseRecord::<(), [u8]>::to("t").payload(b"bare")).map_err(|(error, _)| error).unwrap();
        producer.flush(WAIT).unwrap();

        let consumer: BaseConsumer = client("g").create().unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset("t", 0, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let message = consumer.poll(WAIT).unwrap().unwrap();
        let found = headers(&message);
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
        assert_eq!(found, [("a", Some(&b"1"[..])), ("cam\u{FFFD}", Some(&b"2"[..])), ("a", Some(&b""[..])), ("b", None)],);
        assert!(headers(&consumer.poll(WAIT).unwrap().unwrap()).is_empty());
    }
}
