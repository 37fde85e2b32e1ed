//! A Kafka message that the pipeline sends: an event, a window or a dead letter.

/// What is produced; the topic is the sender's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The key; messages of one key keep their order.
    pub key: Vec<u8>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Message {
    /// Roughly how much memory it holds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len));
        size_of::<Self>() + self.key.len() + self.value.as_ref().map_or(0, Vec::len) + headers.sum::<usize>()
    }
}
