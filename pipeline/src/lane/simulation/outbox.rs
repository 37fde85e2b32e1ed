//! The dead-letter topic, as one of several processes sees it.
//!
//! In: dead letters. Out: acknowledgements, soon or late. Invariant: a letter is there before it is acknowledged; a process that is
//! frozen or dead sends nothing more.

use std::sync::{Arc, PoisonError};

use facestream_schemas::tables::FrameRow;
use facestream_schemas::{Message, Offset};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::chance::Chance;
use super::store::{Gate, World};
use crate::lane::{Outbox, Outgoing, Output};

/// What a process's lanes send through.
#[derive(Debug)]
pub(super) struct Letters {
    pub(super) world: Arc<World>,
    pub(super) gate: Gate,
    pub(super) chance: Chance,
}

impl Outbox for Letters {
    fn send(&self, outgoing: Outgoing) -> BoxFuture<'static, ()> {
        let (world, gate, chance) = (Arc::clone(&self.world), self.gate.clone(), self.chance.clone());
        async move {
            for _ in 0..2 {
                gate.pass().await;
                sleep(if chance.happens(0.9) { chance.millis(1..60) } else { chance.millis(60..3_000) }).await;
                gate.pass().await;
                world.letters.lock().unwrap_or_else(PoisonError::into_inner).insert(outgoing.message.key.clone());
            }
        }
        .boxed()
    }
}

/// What a worker has sent of a frame: a dead letter if it failed.
pub(super) fn outgoing(row: &FrameRow) -> Vec<Outgoing> {
    let letter = |reason| Outgoing {
        to: Output::DeadLetters(reason),
        message: Message { key: key(row.meta.key.offset), value: None, headers: Vec::new() },
    };
    row.outcome.as_ref().err().map(|rejection| letter(rejection.reason)).into_iter().collect()
}

/// The key of a message's dead letter.
pub(super) fn key(offset: Offset) -> Vec<u8> {
    offset.to_string().into_bytes()
}
