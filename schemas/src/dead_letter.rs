//! Dead letters: a message that failed, as it came, with the reason.

use bytes::Bytes;

/// A consumed message as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Original {
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; `None` also where it was too large to be copied.
    pub value: Option<Bytes>,
    /// Size of the value in bytes; `None` where there is none at all.
    pub value_bytes: Option<u64>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
}
