//! Annotated pictures: threads that decode a frame once more, at full size, mark or hide its faces, and encode what people may see.
//!
//! In: a [`Shot`]: a frame's picture as it came, and where its faces are. Out: a JPEG without metadata, or none. Invariant: there is
//! no other way out for the pixels, so nothing leaves that was not annotated: what cannot be made is not sent, counted and logged.
//! Channel: orders, lanes → `annotate-N`, two for each thread; lanes wait for room without holding anything else up.

mod keep;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use facestream_schemas::{Bbox, Detection, MessageKey, Size};
use facestream_stages::annotate::{Easel, Mark, Region, Style, Tile, What};
use facestream_stages::decode::{Decode, Limits};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::{Metrics, Pictured, Stage};
use crate::panicked;

pub use keep::{Keep, path, probe_writable};

/// Orders that may wait for each thread.
const WAITING: usize = 2;

/// What is needed of a frame for its annotated picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// What is to be done.
    pub what: What,
    /// The picture as it came.
    image: Bytes,
    /// Largest decoded image in pixels.
    max_pixels: u64,
    /// The faces to draw.
    marks: Vec<Mark>,
    /// What to hide.
    pub regions: Vec<Region>,
}

impl Shot {
    /// Of a picture in which `faces` were found, and `weak` ones that only count for hiding.
    #[must_use]
    pub fn of(what: What, image: Bytes, max_pixels: u64, original: Size, faces: &[Detection], weak: &[Bbox]) -> Self {
        let hidden = faces.iter().map(|face| &face.bbox).chain(weak).map(|bbox| Region::of(bbox, original));
        let marks = faces.iter().map(|face| Mark::of(face, original));
        let (marks, regions) = if what.hides() { (Vec::new(), hidden.collect()) } else { (marks.collect(), Vec::new()) };
        Self { what, image, max_pixels, marks, regions }
    }

    /// The bytes that it holds.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.image.len() + self.marks.len() * size_of::<Mark>() + self.regions.len() * size_of::<Region>()
    }
}

/// Where annotated pictures are made and go.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// Makes them.
    pub annotator: Annotator,
    /// For how many further frames of its source a face stays hidden; `None` where nothing is hidden.
    pub hold: Option<u32>,
    /// Whether they go to a topic.
    pub to_topic: bool,
    /// Where they are kept; `None` where they are not.
    pub keep: Option<Keep>,
}

/// The lanes' end of the threads. They end when the last of it is gone.
#[derive(Clone, Debug)]
pub struct Annotator {
    orders: mpsc::Sender<Order>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Order {
    of: MessageKey,
    shot: Shot,
    made: oneshot::Sender<Option<Vec<u8>>>,
}

impl Annotator {
    /// Starts `threads` threads that write JPEGs of this quality.
    pub fn start(quality: u8, threads: usize, metrics: &Metrics) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel(threads.max(1) * WAITING);
        let inbox = Arc::new(Mutex::new(inbox));
        for id in 0..threads.max(1) {
            let (inbox, metrics) = (Arc::clone(&inbox), metrics.clone());
            let artist = Artist { quality, tools: None };
            std::thread::Builder::new().name(format!("annotate-{id}")).spawn(move || work(artist, &inbox, &metrics))?;
        }
        Ok(Self { orders, metrics: metrics.clone() })
    }

    /// The annotated picture as a JPEG; `None` where it cannot be made, which the log has said.
    pub async fn make(&self, of: MessageKey, shot: Shot) -> Option<Vec<u8>> {
        let (made, picture) = oneshot::channel();
        let sent = self.orders.send(Order { of, shot, made }).await;
        let picture = if sent.is_ok() { picture.await.ok().flatten() } else { None };
        self.metrics.pictures.of(if picture.is_some() { Pictured::Made } else { Pictured::Failed }).inc();
        picture
    }
}

fn work(mut artist: Artist, inbox: &Mutex<mpsc::Receiver<Order>>, metrics: &Metrics) {
    let next = || inbox.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(Order { of, shot, made }) = next() {
        // Its lane may be gone: then the frame is another process's.
        if made.is_closed() {
            continue;
        }
        let started = Instant::now();
        let picture = artist.safely(|artist, tools| artist.draw(tools, &shot));
        // The bytes as they came are given back before the lane counts the new ones.
        drop(shot);
        metrics.stage_seconds.of(Stage::Annotate).observe(started.elapsed().as_secs_f64());
        if let Err(why) = &picture {
            tracing::error!(record = %of, "the annotated picture of this frame cannot be made, so there is none: {why:#}");
        }
        let _ = made.send(picture.ok());
    }
}

/// What one thread works with.
struct Artist {
    quality: u8,
    /// Made when they are first needed, and anew after a panic.
    tools: Option<Tools>,
}

struct Tools {
    decode: Decode,
    tile: Tile,
    easel: Easel,
}

impl Artist {
    /// A panic is a bug of ours: the picture is not made, and the next finds new tools.
    fn safely(&mut self, draw: impl FnOnce(&Self, &mut Option<Tools>) -> anyhow::Result<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
        let mut tools = self.tools.take();
        let drawn = catch_unwind(AssertUnwindSafe(|| draw(self, &mut tools)));
        let picture = drawn.map_err(|panic| anyhow::anyhow!("a panic: {}", panicked::said(&*panic)))?;
        self.tools = tools;
        picture
    }

    fn draw(&self, tools: &mut Option<Tools>, shot: &Shot) -> anyhow::Result<Vec<u8>> {
        let Tools { decode, tile, easel } = match tools {
            Some(tools) => tools,
            none => none.insert(Tools::new(self.quality)),
        };
        decode.limit(Limits { max_pixels: shot.max_pixels });
        tile.size = decode.decode_into(&shot.image, &mut tile.rgb).map_err(|rejection| anyhow::anyhow!(rejection.error))?;
        match shot.what {
            What::None => anyhow::bail!("nothing was asked for"),
            What::Boxes => tile.draw(&shot.marks, &Style::default()),
            What::Blur => tile.hide(&shot.regions),
            What::Pixelate => tile.pixelate(&shot.regions),
        }
        easel.encode(tile).context("encoding")
    }
}

impl Tools {
    fn new(quality: u8) -> Self {
        let decode = Decode::full(Limits { max_pixels: 0 });
        Self { decode, tile: Tile { rgb: Vec::new(), size: Size { w: 0, h: 0 } }, easel: Easel::new(quality) }
    }
}
