//! Collection: old records go, once what they hold is in visible files.
//!
//! In: a seal whose files its owner has published, and whose empty record it has won. Out: a log without the records before
//! that seal that are older than `journal.retention`. Invariant: the oldest goes first, one after the other, so that what is
//! left of a log has no holes; the protocol needs none of what is removed, `verify` and people do.

use std::time::Duration;

use facestream_schemas::Partition;

use super::header::Seq;
use super::log::{Listed, Log};

/// Removes what is older than `retention` and before `seal`. Best effort: what fails is done by the next seal's collection.
pub async fn collect(log: Log, partition: Partition, seal: Seq, retention: Duration) {
    let removed = match log.list().await {
        Ok(records) => remove(&log, &expired(records, seal, retention)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        tracing::warn!(%partition, "cannot collect old journal records, the next seal tries again: {error}");
    }
}

async fn remove(log: &Log, oldest_first: &[Seq]) -> Result<(), object_store::Error> {
    for seq in oldest_first {
        log.remove(*seq).await?;
        log.metrics().collected_records.inc();
    }
    Ok(())
}

/// What may go, oldest first. Age is the store's own: the time between writing a record and writing the newest one.
fn expired(mut records: Vec<Listed>, seal: Seq, retention: Duration) -> Vec<Seq> {
    records.sort_by_key(|record| record.seq);
    let Some(newest) = records.last().map(|record| record.written) else { return Vec::new() };
    let is_old =
        |record: &&Listed| record.seq < seal && newest.0.saturating_sub(record.written.0) >= retention.as_micros() as i64;
    records.iter().take_while(is_old).map(|record| record.seq).collect()
}

#[cfg(test)]
mod tests {
    use facestream_schemas::Micros;

    use super::*;

    #[test]
    fn only_what_is_before_the_seal_and_old_goes_oldest_first() {
        let second = |seq: u64| Listed { seq: Seq(seq), bytes: 1, written: Micros(seq as i64 * 1_000_000) };
        let records: Vec<_> = (3..=20).rev().map(second).collect();
        let seqs = |range: std::ops::RangeInclusive<u64>| range.map(Seq).collect::<Vec<_>>();
        assert_eq!(expired(records.clone(), Seq(10), Duration::ZERO), seqs(3..=9));
        assert_eq!(expired(records.clone(), Seq(10), Duration::from_secs(13)), seqs(3..=7));
        assert_eq!(expired(records, Seq(10), Duration::from_hours(1)), []);
        assert_eq!(expired(Vec::new(), Seq(10), Duration::ZERO), []);
    }
}
