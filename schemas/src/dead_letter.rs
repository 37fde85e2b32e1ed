//! Dead letters: a message that failed, as it came, with the reason.

use bytes::Bytes;

use crate::message::Message;
use crate::tables::FrameRow;
use crate::time::Micros;

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

impl Original {
    /// The bytes that it holds besides the value, which the picture holds too.
    #[must_use]
    pub fn memory(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len));
        self.key.as_ref().map_or(0, Bytes::len) + headers.sum::<usize>()
    }
}

/// The dead letter of a message that failed.
#[must_use]
pub fn of(row: &FrameRow, original: &Original, _seen: Micros, _max_bytes: u64) -> Message {
    Message {
        key: row.meta.key.to_string().into(),
        value: original.value.as_ref().map(|value| value.to_vec()),
        headers: Vec::new(),
    }
}

/// Leaves the value out, so that only the reference is left; false where it is out already.
pub fn leave_out(message: &mut Message) -> bool {
    message.value.replace(Vec::new()).is_some_and(|value| !value.is_empty())
}
