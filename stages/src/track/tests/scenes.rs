//! How well faces are followed, on scenes composed of faces whose paths are known: how often a face's track is another's afterwards,
//! how often it breaks off, how pure tracks are. The numbers are printed (`--nocapture`).

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// `SplitMix64`: a seed is a scene.
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn between(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit()
    }

    fn happens(&mut self, share: f32) -> bool {
        self.unit() < share
    }

    /// About normal, of standard deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// A face on its way through the picture.
struct Walker {
    /// In seconds: when it is in the picture.
    from: f32,
    until: f32,
    side: f32,
    start: [f32; 2],
    /// In pixels/s.
    velocity: [f32; 2],
    /// How far (in sizes) and how often (a second) its head bobs.
    bob: [f32; 2],
}

impl Walker {
    fn bbox(&self, at: f32) -> Option<Bbox> {
        let walked = at - self.from;
        let bob = self.side * self.bob[0] * (walked * self.bob[1] * std::f32::consts::TAU).sin();
        let [x, y] = [0, 1].map(|axis| self.start[axis] + self.velocity[axis] * walked - self.side / 2.0);
        (self.from..self.until).contains(&at).then_some(Bbox { x, y: y + bob, w: self.side * 0.8, h: self.side })
    }
}

/// Of two boxes with a larger intersection over union the smaller is not seen.
const COVERED: f32 = 0.3;

/// What a detector makes of it.
struct Eye {
    fps: f32,
    seconds: f32,
    /// Standard deviation of place and size of boxes, in sizes.
    jitter: f32,
    /// Share of faces that are missed, each for itself.
    missed: f32,
    /// False faces a frame.
    false_faces: f32,
}

/// What became of the faces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Score {
    faces: usize,
    detections: usize,
    tracks: usize,
    /// A face goes on under the track of another.
    switches: usize,
    /// A face goes on under a track of its own that is new.
    breaks: usize,
    /// Pairs of faces that cover each other at some time.
    meetings: usize,
    /// Times that a face was not seen between two that it was, and those of them that were longer than `max_gap`.
    gaps: usize,
    long_gaps: usize,
    /// Detections that are of the face that most of their track's are of.
    pure: usize,
}

impl Score {
    fn add(&mut self, other: Self) {
        self.faces += other.faces;
        self.detections += other.detections;
        self.tracks += other.tracks;
        self.switches += other.switches;
        self.breaks += other.breaks;
        self.meetings += other.meetings;
        self.gaps += other.gaps;
        self.long_gaps += other.long_gaps;
        self.pure += other.pure;
    }

    fn purity(&self) -> f64 {
        self.pure as f64 / self.detections as f64
    }
}

impl Eye {
    /// What is detected at a time: each box with the walker that it is of. Of two that cover each other the smaller is not seen.
    fn look(&self, walkers: &[Walker], at: f32, chance: &mut Chance) -> Vec<(Option<usize>, Detection)> {
        let there: Vec<_> = walkers.iter().enumerate().filter_map(|(n, walker)| Some((n, walker.bbox(at)?))).collect();
        let mut seen = Vec::new();
        for (n, bbox) in &there {
            let covers = |(_, other): &&(usize, Bbox)| other.w > bbox.w && other.iou(bbox) > COVERED;
            if there.iter().any(|other| covers(&other)) || chance.happens(self.missed) {
                continue;
            }
            let mut shift = |length: f32| length * self.jitter * chance.normal();
            let (x, y) = (bbox.x + shift(bbox.w), bbox.y + shift(bbox.h));
            let (w, h) = (bbox.w + shift(bbox.w), bbox.h + shift(bbox.h));
            seen.push((Some(*n), Detection { bbox: Bbox { x, y, w, h }, ..face(0.0, 0.0, 1.0) }));
        }
        if chance.happens(self.false_faces) {
            seen.push((None, face(chance.between(0.0, 1_880.0), chance.between(0.0, 1_040.0), chance.between(20.0, 80.0))));
        }
        let turn = (chance.unit() * seen.len() as f32) as usize;
        seen.rotate_left(turn);
        seen
    }

    /// How many pairs cover each other at some time.
    fn meetings(&self, walkers: &[Walker]) -> usize {
        let times = || (0..(self.seconds * self.fps) as i64).map(|n| n as f32 / self.fps);
        let meet =
            |a: &Walker, b: &Walker| times().any(|at| a.bbox(at).zip(b.bbox(at)).is_some_and(|(a, b)| a.iou(&b) > COVERED));
        walkers.iter().enumerate().map(|(n, a)| walkers[..n].iter().filter(|b| meet(a, b)).count()).sum()
    }

    /// Follows the scene and compares with what it was composed of.
    fn judge(&self, walkers: &[Walker], chance: &mut Chance) -> Score {
        let mut tracks = tracks(TrackState::default());
        let mut owners: BTreeMap<Arc<str>, BTreeMap<Option<usize>, usize>> = BTreeMap::new();
        let mut last: BTreeMap<usize, (i64, Arc<str>)> = BTreeMap::new();
        let mut score = Score::default();
        for n in 0..(self.seconds * self.fps) as i64 {
            let at = n as f32 / self.fps;
            let (of, faces): (Vec<_>, Vec<_>) = self.look(walkers, at, chance).into_iter().unzip();
            let mut row = frame(n, (at * 1_000.0) as i64 + 1, faces);
            tracks.follow(&mut row);
            let ids: Vec<_> = row.outcome.unwrap().into_iter().map(|face| face.track.unwrap()).collect();
            assert_eq!(ids.iter().map(|track| &track.id).collect::<BTreeSet<_>>().len(), ids.len(), "a track has two faces");
            for (walker, track) in of.into_iter().zip(ids) {
                if let Some((seen, before)) = walker.and_then(|walker| last.insert(walker, (n, Arc::clone(&track.id)))) {
                    score.gaps += usize::from(n > seen + 1);
                    score.long_gaps += usize::from((n - seen) as f32 / self.fps > SETTINGS.max_gap.as_secs_f32());
                    score.breaks += usize::from(before != track.id && track.is_new);
                    score.switches += usize::from(before != track.id && !track.is_new);
                }
                *owners.entry(track.id).or_default().entry(walker).or_default() += 1;
            }
        }
        score.faces = last.len();
        score.meetings = self.meetings(walkers);
        score.tracks = owners.len();
        score.detections = owners.values().flat_map(BTreeMap::values).sum();
        score.pure = owners.values().filter_map(|of| of.values().max()).sum();
        score
    }
}

/// So many scenes.
fn judged(name: &str, scenes: u64, eye: &Eye, compose: impl Fn(&mut Chance) -> Vec<Walker>) -> Score {
    let mut sum = Score::default();
    for seed in 0..scenes {
        let mut chance = Chance(seed);
        let walkers = compose(&mut chance);
        sum.add(eye.judge(&walkers, &mut chance));
    }
    eprintln!("{name}: {sum:?}, purity {:.4}", sum.purity());
    sum
}

/// Somebody who walks straight through a picture of 1920 x 1080 from one side to the other, `speed` sizes a second.
fn passer(chance: &mut Chance, from: f32, side: f32, speed: f32) -> Walker {
    let (to_right, velocity) = (chance.happens(0.5), side * speed);
    Walker {
        from,
        until: from + (1_920.0 - side) / velocity,
        side,
        start: [if to_right { side / 2.0 } else { 1_920.0 - side / 2.0 }, chance.between(450.0, 550.0)],
        velocity: [if to_right { velocity } else { -velocity }, 0.0],
        bob: [0.05, 2.0],
    }
}

const CLEAR: Eye = Eye { fps: 15.0, seconds: 30.0, jitter: 0.02, missed: 0.0, false_faces: 0.0 };

/// Two in opposite directions at one height, the smaller covered by the larger for as long as that takes: with 2 sizes/s each, under
/// half a second. Covered for less than `max_gap`, each goes on as before.
#[test]
fn who_meets_and_passes_straight_on_keeps_the_track() {
    for fps in [30.0, 15.0, 10.0] {
        let score = judged(&format!("straight crossings, {fps}/s"), 200, &Eye { fps, ..CLEAR }, |chance| {
            let height = chance.between(400.0, 600.0);
            let mut one = |side: f32, to_right: bool| {
                let speed = chance.between(1.5, 3.0);
                let mut walker = passer(chance, 0.0, side, speed);
                let x = if to_right { 200.0 } else { 1_700.0 };
                walker.start = [x, height];
                walker.velocity[0] = walker.velocity[0].abs() * if to_right { 1.0 } else { -1.0 };
                walker
            };
            vec![one(90.0, true), one(70.0, false)]
        });
        assert_eq!((score.faces, score.tracks, score.switches, score.breaks), (400, 400, 0, 0), "{fps}/s");
    }
}

/// Alone, small and fast, at few frames: from a frame to the next up to 1.2 times its own size.
#[test]
fn a_small_fast_face_is_followed_at_five_frames_a_second() {
    let eye = Eye { fps: 5.0, jitter: 0.05, ..CLEAR };
    let score = judged("fast and alone, 5/s", 200, &eye, |chance| {
        let (side, speed) = (chance.between(30.0, 60.0), chance.between(3.0, 6.0));
        vec![passer(chance, 0.0, side, speed)]
    });
    assert_eq!((score.tracks, score.switches, score.breaks), (200, 0, 0));
}

/// Each face is missed one time in five, for itself: fifteen times in a row, which is a second, with a probability of 3e-11.
#[test]
fn faces_that_are_missed_at_times_keep_their_tracks() {
    let eye = Eye { jitter: 0.05, missed: 0.2, ..CLEAR };
    let score = judged("missed one time in five, 15/s", 100, &eye, |chance| {
        (0..3)
            .map(|n| Walker {
                start: [600.0, 250.0 + 300.0 * n as f32],
                velocity: [chance.between(-20.0, 20.0), 0.0],
                until: 30.0,
                ..passer(chance, 0.0, 80.0, 1.0)
            })
            .collect()
    });
    assert_eq!((score.faces, score.tracks, score.switches, score.breaks), (300, 300, 0, 0));
}

/// Twenty walk through one strip of the picture in thirty seconds, at 0.7 to 3 sizes/s, so that each meets several others, many of
/// whom it goes along with for longer than `max_gap`; besides, each is missed one time in ten, and every twentieth frame has a false
/// face. Nothing but the boxes tells who is who: whoever drew lots after each meeting would be wrong in half of them, for both, which is one
/// switch a meeting.
#[test]
fn in_a_crowd_few_meetings_end_with_the_wrong_track() {
    for (fps, most_switches, most_breaks) in [(30.0, 0.2, 0.1), (15.0, 0.2, 0.1), (5.0, 0.25, 0.15)] {
        let eye = Eye { fps, jitter: 0.05, missed: 0.1, false_faces: 0.05, ..CLEAR };
        let score = judged(&format!("a crowd, {fps}/s"), 40, &eye, |chance| {
            let mut walker = |_| {
                let (from, side, speed) = (chance.between(0.0, 20.0), chance.between(40.0, 90.0), chance.between(0.7, 3.0));
                passer(chance, from, side, speed)
            };
            (0..20).map(&mut walker).collect()
        });
        let share = |count: usize| count as f64 / score.meetings as f64;
        eprintln!("of {} meetings: {:.3} switches, {:.3} breaks", score.meetings, share(score.switches), share(score.breaks));
        // Whoever is away for longer than a track lasts begins another.
        assert!(score.breaks + score.switches >= score.long_gaps);
        assert!(share(score.switches) <= most_switches && share(score.breaks) <= most_breaks, "{score:?}");
        assert!(score.purity() >= 0.95, "{score:?}");
    }
}
