//! A picture that has been found: how large it says it is, and its bytes as they come.
//!
//! In: an answer of a web server or object store, or an open file. Out: all bytes in one piece, and their SHA-256. Invariant: no
//! more memory is used than there is a permit for, whatever the other side sends.

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::file::OpenFile;

/// Found, but not read.
pub(super) struct Opened {
    /// Size in bytes, as announced.
    pub length: Option<u64>,
    pub body: Body,
}

pub(super) enum Body {
    Stream(BoxStream<'static, Result<Bytes, Failure>>),
    File(OpenFile),
}

/// All bytes, and their digest where it was asked for.
pub(super) type Whole = (Vec<u8>, Option<[u8; 32]>);

impl Opened {
    /// Reads everything: `room` bytes at most, exactly as many as were announced.
    pub(super) async fn read(self, shown: &str, room: usize, digest: bool) -> Result<Whole, Failure> {
        let (bytes, digest) = match self.body {
            Body::File(file) => file.read(room, digest).await?,
            Body::Stream(stream) => read(stream, shown, self.length, room, digest).await?,
        };
        match self.length {
            Some(length) if bytes.len() as u64 != length => {
                Err(Failure::transient(format!("{shown}: {} bytes came where {length} were announced", bytes.len())))
            }
            _ if bytes.is_empty() => Err(Failure::transient(format!("{shown}: is empty"))),
            _ => Ok((bytes, digest)),
        }
    }
}

async fn read(
    mut stream: BoxStream<'static, Result<Bytes, Failure>>,
    shown: &str,
    length: Option<u64>,
    room: usize,
    digest: bool,
) -> Result<Whole, Failure> {
    // Memory that is never written to is never used: where the length is unknown most of this costs nothing.
    let mut bytes = Vec::with_capacity(room);
    let mut sha = digest.then(Sha256::new);
    while let Some(chunk) = stream.try_next().await? {
        if bytes.len() + chunk.len() > room {
            return Err(match length {
                None => Failure::too_large(format_args!("{shown}: has more than {room} bytes, which is fetch.max_bytes")),
                Some(length) => Failure::transient(format!("{shown}: more bytes came than the {length} that were announced")),
            });
        }
        bytes.extend_from_slice(&chunk);
        // A chunk is what a socket had: some 10 KB, and some 10 µs.
        if let Some(sha) = &mut sha {
            sha.update(&chunk);
        }
    }
    bytes.shrink_to_fit();
    Ok((bytes, sha.map(|sha| sha.finalize().into())))
}
