//! Appends that break a rule, for the simulation: see [`super::mutation`].
//!
//! In: a batch. Out: the batch again where the rules are kept, or nothing where it was appended against them.

use facestream_stages::encode::Encoder;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::header::Seq;
use super::log::{Outcome, backoff, pause};
use super::mutation::{self, Mutation};
use super::record::{Record, Rows};
use super::{Batch, Journal, JournalError};

/// Appends `batch` in the way that the mutation in force wants, or hands it back.
pub(super) async fn append(journal: &mut Journal, batch: Batch) -> Result<Option<Batch>, JournalError> {
    if mutation::is(Mutation::PublishFirst) && batch.seal {
        publish_first(journal, &batch).await?;
    }
    if mutation::is(Mutation::RetryWithMoreRows) && !batch.seal && batch.rows.frames.len() > 1 {
        return append_growing(journal, batch).await;
    }
    Ok(Some(batch))
}

/// The files that the seal to come would have, under their own names: wrong only where another wins its seq.
async fn publish_first(journal: &Journal, batch: &Batch) -> Result<(), JournalError> {
    for file in journal.header_after(batch).files {
        let mut encoder = Encoder::new(file.table, []).expect("an encoder");
        for seq in journal.head.unsealed.first_seq.0..=journal.head.seq.0 {
            let record = journal.log.read(Seq(seq)).await?;
            let batches = record.map_or(Vec::new(), |record| record.batches().expect("rows"));
            for (_, _, rows) in batches.into_iter().filter(|(table, ..)| *table == file.table) {
                encoder.push(rows).expect("rows");
            }
        }
        encoder.push(batch.rows.batch(file.table)).expect("rows");
        let bytes = encoder.finish().expect("a file");
        while journal.log.store().files.put(&Path::from(file.path.as_str()), bytes.clone().into()).await.is_err() {}
    }
    Ok(())
}

/// First without the last frame, as if that came in meanwhile; if the first try is not clearly won, again with it, under the same nonce.
async fn append_growing(journal: &mut Journal, batch: Batch) -> Result<Option<Batch>, JournalError> {
    let larger = journal.header_after(&batch);
    let (last, rest) = batch.rows.frames.split_last().expect("two rows");
    let smaller = Batch {
        rows: Rows { frames: rest.to_vec(), windows: batch.rows.windows.clone() },
        end_offset: last.meta.key.offset,
        memory: batch.memory.clone(),
        low_watermark: batch.low_watermark,
        seal: false,
        note: batch.note,
    };
    let mut header = journal.header_after(&smaller);
    header.nonce = larger.nonce;
    if let Some(outcome) = journal.log.try_append(&Record::new(header.clone(), &smaller.rows)?).await? {
        won(outcome)?;
        journal.head = header;
        let rows = Rows { frames: vec![last.clone()], windows: Vec::new() };
        return Ok(Some(Batch { rows, ..batch }));
    }
    let record = Record::new(larger, &batch.rows)?;
    let mut waits = backoff();
    let outcome = loop {
        pause(&mut waits).await;
        if let Some(outcome) = journal.log.try_append(&record).await? {
            break outcome;
        }
    };
    won(outcome)?;
    journal.head = record.header;
    Ok(None)
}

fn won(outcome: Outcome) -> Result<(), JournalError> {
    match outcome {
        Outcome::Won => Ok(()),
        Outcome::Fenced => Err(JournalError::Fenced),
    }
}
