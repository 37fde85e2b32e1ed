//! Workers that look at pictures, and their results in the order of the pictures.
//!
//! In: inputs. Out: what was seen of each, in order, one after the other. Invariants: no more than [`AHEAD`] pictures are begun before
//! the oldest of them is handed out; no more are in memory than workers and fetches hold; a picture that is slow to come holds up none
//! behind it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use facestream_schemas::Rejection;
use facestream_stages::order::Order;
use futures::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Work;
use super::eyes::{Blueprint, Eyes};
use super::inputs::Input;
use super::open::Opened;
use super::seen::Seen;
use crate::commands::produce::stop::Stop;

const AHEAD: usize = 1_024;
/// How many pictures are fetched at a time.
const FETCHES: usize = 8;

/// A picture on its way to a worker.
struct Job<'a> {
    number: usize,
    input: &'a Input,
    opened: Result<Opened, Rejection>,
    /// Its place among those that are begun.
    place: OwnedSemaphorePermit,
}

/// What a worker saw in the picture of this number.
type Done = (usize, Seen, OwnedSemaphorePermit);

/// Shows `each` what was seen, in the order of the inputs, until all have been looked at, `each` fails or it is to stop. `first` is the
/// first worker's eyes.
pub(super) fn run(
    work: &Work<'_>,
    blueprint: &Blueprint<'_>,
    first: Eyes<'_>,
    each: &mut dyn FnMut(Seen) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let wanted = work.config.workers.count.resolve();
    let workers = NonZeroUsize::new(work.inputs.all.len()).map_or(wanted, |pictures| wanted.min(pictures)).get();
    let stop = work.stop.child();
    let (fill, jobs) = bounded(workers);
    let (done, results) = bounded(workers);
    let mut first = Some(first);
    thread::scope(|scope| {
        let feeding = stop.clone();
        scope.spawn(move || feed(work, &feeding, &fill));
        for _ in 0..workers {
            let (eyes, jobs, done) = (first.take(), jobs.clone(), done.clone());
            scope.spawn(move || match eyes.map_or_else(|| Eyes::open(blueprint), Ok) {
                Ok(eyes) => look(eyes, &jobs, &done),
                Err(error) => eprintln!("one worker less: {error:#}"),
            });
        }
        drop((jobs, done));
        let shown = in_order(results, each);
        stop.raise();
        shown
    })
}

/// Opens every picture, those that lie elsewhere some ahead.
fn feed<'a>(work: &Work<'a>, stop: &Stop, fill: &Sender<Job<'a>>) {
    let places = Arc::new(Semaphore::new(AHEAD));
    let begun = stream::iter(work.inputs.all.iter().enumerate()).then(|numbered| {
        let place = Arc::clone(&places).acquire_owned();
        async move { place.await.ok().map(|place| (numbered, place)) }
    });
    // In whatever order they come: one that is waited for must not keep the memory that it waits for.
    let opened = begun
        .filter_map(std::future::ready)
        .map(|((number, input), place)| async move { Job { number, input, opened: work.opener.open(input).await, place } });
    let mut opened = std::pin::pin!(opened.buffer_unordered(FETCHES));
    while let Some(Some(job)) = stop.block_on(opened.next()) {
        if fill.send(job).is_err() {
            return;
        }
    }
}

/// A worker's work.
fn look(mut eyes: Eyes<'_>, jobs: &Receiver<Job<'_>>, done: &Sender<Done>) {
    for Job { number, input, opened, place } in jobs {
        let seen = match opened.and_then(|opened| Ok((opened.bytes(input)?, opened))) {
            Ok((picture, _memory)) => eyes.look(number, &input.name, &picture),
            Err(rejection) => Seen::failed(&input.name, rejection),
        };
        if done.send((number, seen, place)).is_err() {
            return;
        }
    }
}

fn in_order(results: Receiver<Done>, each: &mut dyn FnMut(Seen) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut order = Order::default();
    for (number, seen, place) in results {
        order.insert(number as u64, (seen, place));
        while let Some((seen, _place)) = order.pop() {
            each(seen)?;
        }
    }
    Ok(())
}
