//! A topic full of pictures, all there before anybody reads it.
//!
//! In: pictures, and how many messages. Out: a broker with a topic that holds them. Invariant: nothing was evicted: a partition of the
//! embedded broker gets less than it keeps.

use anyhow::Context as _;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::commands::broker::{Broker, EMBEDDED_BYTES};
use crate::config::Kafka;
use crate::kafka::client;

/// What the embedded broker is given of a partition, with its own bytes around messages: it keeps more.
const FILL_BYTES: u64 = EMBEDDED_BYTES / 5 * 4;
/// Partitions of the embedded broker: it holds a quarter of a GiB.
const MOST_PARTITIONS: u64 = 64;
/// Partitions for each worker, on a broker of the caller's.
const PARTITIONS_PER_WORKER: usize = 4;
/// Messages on their way at a time.
const AT_A_TIME: usize = 32;

/// How the topic is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) frames: usize,
    pub(super) partitions: i32,
}

impl Cut {
    /// For about `wanted` frames of `bytes` each: as many as the embedded broker holds, or as many as that.
    pub(super) fn of(wanted: usize, bytes: u64, workers: usize, is_embedded: bool) -> Self {
        let least = workers * PARTITIONS_PER_WORKER;
        if !is_embedded {
            return Self { frames: wanted.max(least), partitions: least as i32 };
        }
        let each = (FILL_BYTES / bytes).max(1) as usize;
        let partitions = wanted.div_ceil(each).max(least).min(MOST_PARTITIONS as usize);
        Self { frames: wanted.clamp(partitions, partitions * each), partitions: partitions as i32 }
    }
}

/// Produces the messages: pictures in turn, over all partitions in turn, each partition a camera.
pub(super) async fn fill(broker: &Broker, kafka: &Kafka, cut: Cut, pictures: &[Vec<u8>]) -> anyhow::Result<()> {
    let largest = pictures.iter().map(Vec::len).max().unwrap_or(0) as u64;
    let mut client = client::producer(kafka, &broker.servers, largest + 100_000);
    // The mock cluster evicts whole batches: small ones, so that it evicts nothing.
    let producer: FutureProducer = client.set("batch.size", "100000").create().context("cannot set up a producer")?;
    let mut sent = Vec::with_capacity(AT_A_TIME);
    for n in 0..cut.frames {
        let (partition, picture) = (n as i32 % cut.partitions, &pictures[n % pictures.len()]);
        let key = format!("camera-{partition}");
        let record = FutureRecord::<str, [u8]>::to(&broker.topic).partition(partition).key(&key).payload(picture);
        sent.push(producer.send_result(record).map_err(|(error, _)| error).context("producing a picture")?);
        if sent.len() == AT_A_TIME || n + 1 == cut.frames {
            for delivery in sent.drain(..) {
                delivery.await?.map_err(|(error, _)| error).context("producing a picture")?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_broker_gets_no_more_than_it_keeps() {
        for (wanted, bytes, workers) in
            [(1, 300_000, 2), (300, 300_000, 2), (100_000, 300_000, 2), (500, 5_000_000, 1), (50, 1_000, 32)]
        {
            let Cut { frames, partitions } = Cut::of(wanted, bytes, workers, true);
            let fullest = frames.div_ceil(partitions as usize) as u64 * bytes;
            assert!(fullest <= FILL_BYTES || fullest == bytes, "{wanted} {bytes} {workers}: {frames} over {partitions}");
            assert!(partitions <= 64 && frames >= partitions as usize);
        }
        assert_eq!(Cut::of(10_000, 300_000, 2, false), Cut { frames: 10_000, partitions: 8 });
    }
}
