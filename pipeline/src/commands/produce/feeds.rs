//! The inputs at work: which cameras each of them is, and a thread for each.
//!
//! In: inputs. Out: the names of all cameras, and one bounded channel with the frames of all inputs. Invariant: no two cameras
//! have the same name.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use facestream_schemas::SourceId;
use tokio::sync::mpsc;

use super::inputs::Input;
use super::outlet::{Manner, Outlet};
use super::report::Tally;
use super::shot::Shot;
use super::stop::Stop;
use crate::commands::Failure;

/// Frames between all inputs and Kafka's client.
const WAITING: usize = 8;

/// An input, and the cameras that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Feed {
    pub(super) input: Input,
    /// Places in the list of all cameras.
    pub(super) sources: Range<usize>,
}

/// Gives each input its cameras: `cameras` of them, or one. `source_id` is the name of a single one, and what the names of
/// several begin with.
pub(super) fn assign(
    inputs: Vec<Input>,
    source_id: Option<&str>,
    cameras: Option<u16>,
) -> Result<(Vec<Feed>, Vec<String>), Failure> {
    if let Some(source_id) = source_id.filter(|id| id.is_empty() || id.chars().count() > SourceId::MAX_CHARS - 10) {
        let (length, most) = (source_id.chars().count(), SourceId::MAX_CHARS - 10);
        return Err(Failure::Usage(format!("--source-id has {length} characters, expected 1 to {most}")));
    }
    let mut names = Names::default();
    let is_only = inputs.len() == 1;
    let mut feeds = Vec::with_capacity(inputs.len());
    for input in inputs {
        let first = names.all.len();
        let stem = match &input {
            Input::Video(path) => Some(path.file_stem().unwrap_or_default().to_string_lossy().chars().take(200).collect()),
            _ => None,
        };
        match (source_id, cameras, stem) {
            (Some(source_id), None, _) if is_only => names.take(source_id.to_owned()),
            (None, None, Some(stem)) => names.take(stem),
            (None, Some(cameras), Some(stem)) => (0..cameras).for_each(|n| names.take(format!("{stem}-{n:03}"))),
            _ => (0..cameras.unwrap_or(1)).for_each(|_| names.number(source_id.unwrap_or("camera"))),
        }
        feeds.push(Feed { input, sources: first..names.all.len() });
    }
    Ok((feeds, names.all))
}

#[derive(Default)]
struct Names {
    all: Vec<String>,
    taken: HashSet<String>,
    numbered: usize,
}

impl Names {
    /// Takes a name, or the next one like it that is free.
    fn take(&mut self, name: String) {
        let others = (2..).map(|n: usize| format!("{name}-{n}"));
        let free = std::iter::once(name.clone()).chain(others).find(|name| !self.taken.contains(name)).unwrap_or(name);
        self.taken.insert(free.clone());
        self.all.push(free);
    }

    fn number(&mut self, prefix: &str) {
        self.take(format!("{prefix}-{:03}", self.numbered));
        self.numbered += 1;
    }
}

/// The threads of all inputs, each with the input's name.
pub(super) type Threads = Vec<(String, JoinHandle<()>)>;

/// Starts a thread for each input, and gives the channel that they fill. They end with their input, when `stop` is raised, or when the channel is gone.
pub(super) fn start(
    feeds: Vec<Feed>,
    manner: Manner,
    tally: &Arc<Tally>,
    stop: &Stop,
) -> anyhow::Result<(mpsc::Receiver<Shot>, Threads)> {
    let (fill, shots) = mpsc::channel(WAITING);
    let mut threads = Vec::with_capacity(feeds.len());
    for Feed { input, sources } in feeds {
        let name = input.name();
        let mut outlet = Outlet::new(name.clone(), sources, manner, fill.clone(), Arc::clone(tally), stop.clone())?;
        let thread = std::thread::Builder::new().name(format!("input-{}", threads.len()));
        let thread = thread.spawn(move || send(&input, &mut outlet)).context("cannot start a thread for an input")?;
        threads.push((name, thread));
    }
    Ok((shots, threads))
}

/// Reports inputs whose threads have panicked. `is_over`: all have ended, or are about to.
pub(super) fn look_after(threads: Threads, is_over: bool, tally: &Tally) {
    for (name, thread) in threads {
        if (is_over || thread.is_finished()) && thread.join().is_err() {
            tally.unreadable(format_args!("{name}: its thread panicked, please report that"));
        }
    }
}

fn send(input: &Input, outlet: &mut Outlet) {
    match input {
        Input::Pictures(pictures) => pictures.send(outlet),
        Input::Mjpeg(url) => super::mjpeg::send(url, outlet),
        Input::Scene(number) => super::scene::send(*number, outlet),
        #[cfg(feature = "video")]
        Input::Video(path) => super::video::send_file(path, outlet),
        #[cfg(feature = "video")]
        Input::Camera(address) => super::video::send_camera(address, outlet),
        // Input::list has refused them.
        #[cfg(not(feature = "video"))]
        Input::Video(_) | Input::Camera(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::pictures::Pictures;

    fn names(inputs: &[&str], source_id: Option<&str>, cameras: Option<u16>) -> Vec<String> {
        let input = |text: &&str| match *text {
            "pictures" => Input::Pictures(Pictures::default()),
            video if video.contains(".mp4") => Input::Video(video.into()),
            address => Input::Mjpeg(address.parse().unwrap()),
        };
        let (feeds, names) = assign(inputs.iter().map(input).collect(), source_id, cameras).unwrap();
        // Each camera belongs to one input, in order.
        let places: Vec<_> = feeds.iter().flat_map(|feed| feed.sources.clone()).collect();
        assert_eq!(places, (0..names.len()).collect::<Vec<_>>());
        names
    }

    #[test]
    fn cameras_are_numbered_and_a_single_source_keeps_its_name() {
        assert_eq!(names(&["pictures"], None, None), ["camera-000"]);
        assert_eq!(names(&["pictures"], Some("door"), None), ["door"]);
        assert_eq!(names(&["pictures"], None, Some(2)), ["camera-000", "camera-001"]);
        assert_eq!(names(&["pictures"], Some("door"), Some(2)), ["door-000", "door-001"]);
    }

    #[test]
    fn every_video_and_camera_is_a_source_of_its_own() {
        assert_eq!(names(&["a/north.mp4", "b/south.mp4"], None, None), ["north", "south"]);
        assert_eq!(names(&["a/x.mp4", "b/x.mp4", "c/x.mp4"], None, None), ["x", "x-2", "x-3"]);
        assert_eq!(names(&["a/x.mp4"], None, Some(2)), ["x-000", "x-001"]);
        assert_eq!(names(&["a/x.mp4"], Some("door"), None), ["door"]);
        assert_eq!(names(&["http://a", "http://b"], None, None), ["camera-000", "camera-001"]);
        assert_eq!(
            names(&["pictures", "http://a", "x.mp4"], None, Some(2)),
            ["camera-000", "camera-001", "camera-002", "camera-003", "x-000", "x-001"]
        );
        assert_eq!(names(&["pictures", "http://a", "x.mp4"], Some("hall"), None), ["hall-000", "hall-001", "hall-002"]);
    }

    #[test]
    fn a_name_that_the_pipeline_would_not_take_is_refused() {
        let inputs = || vec![Input::Pictures(Pictures::default())];
        assert!(assign(inputs(), Some(&"x".repeat(246)), None).is_ok());
        assert!(assign(inputs(), Some(&"x".repeat(247)), None).is_err());
        assert!(assign(inputs(), Some(""), None).is_err());
        let long = format!("{}.mp4", "ü".repeat(120));
        assert!(names(&[&long], None, Some(300))[299].chars().count() <= SourceId::MAX_CHARS);
    }
}
