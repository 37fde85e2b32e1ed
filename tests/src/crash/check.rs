//! What a store holds, held against what was produced: by DuckDB, on the files as they lie there, and not by our own code.
//!
//! In: a store's folder, a file of produced frames (their partition, offset, header values and drawn faces), the topic's name.
//! Out: how many frames are missing, doubled or wrong, and which files do not belong there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Duck;

/// What was found. Everything but the rows of the three tables is to be 0 or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Rows in `frames`.
    pub frames: u64,
    /// Rows in `detections`.
    pub faces: u64,
    /// Produced, without a row in `frames`.
    pub lost: u64,
    /// Produced, with more than one row in `frames`.
    pub doubled: u64,
    /// Rows in `frames` that nobody produced.
    pub invented: u64,
    /// Rows in `frames` with another number, source or status than `ok`.
    pub wrong: u64,
    /// Frames whose detections, or whose `face_count`, are not as many as faces were drawn.
    pub miscounted: u64,
    /// Detections that are there more than once, or of no row in `frames`.
    pub doubled_faces: u64,
    /// Rows in `windows`, all revisions.
    pub windows: u64,
    /// Revisions of windows that are there more than once.
    pub doubled_windows: u64,
    /// Windows whose highest revision does not count exactly the frames, faces and beginning tracks in it, that are missing, or that have a revision
    /// without those before it.
    pub wrong_windows: u64,
    /// Faces with another track than a run over the same rows in order, without interruptions, gives them.
    #[serde(default)]
    pub wrong_tracks: u64,
    /// Files that are neither journal records nor data files of a seal.
    pub stray: Vec<String>,
    /// What `journal verify` found.
    pub verify: Vec<String>,
}

/// Length of a window, in seconds.
pub(super) const WINDOW_S: u64 = 5;

const TRUTH_AND_ROWS: &str = "
WITH truth AS (SELECT p, o, frame_id, frame_seq, source_id, faces
               FROM read_csv('TRUTH', header = true, types = {'frame_id': 'VARCHAR', 'source_id': 'VARCHAR'})),
frames AS (SELECT kafka_partition AS p, kafka_offset AS o, frame_id, frame_seq, source_id, status, face_count, capture_ts
           FROM read_parquet('frames/**/*.parquet')),
faces AS (SELECT kafka_partition AS p, kafka_offset AS o, detection_idx AS i,
                 track_id = concat_ws('/', kafka_topic, kafka_partition, kafka_offset, detection_idx) AS is_new
          FROM read_parquet('detections/**/*.parquet')),
begun_in AS (SELECT p, o, count(*) FILTER (WHERE is_new) AS begun FROM faces GROUP BY ALL),
windows AS (SELECT source_id, window_start, kafka_partition, revision, frames_ok, faces_total, tracks_started
            FROM read_parquet('windows/**/*.parquet')),
latest AS (SELECT * FROM windows QUALIFY revision = max(revision) OVER (PARTITION BY source_id, window_start, kafka_partition)),
counted AS (SELECT source_id, p AS kafka_partition, time_bucket(INTERVAL 'LENGTH seconds', capture_ts) AS window_start,
                   count(*) AS frames_ok, sum(face_count) AS faces_total, sum(begun) AS tracks_started
            FROM (FROM frames LEFT JOIN begun_in USING (p, o)) GROUP BY ALL),
rows_of AS (SELECT p, o, count(*) AS n FROM frames GROUP BY ALL),
faces_of AS (SELECT p, o, count(*) AS n FROM faces GROUP BY ALL)
SELECT
  (SELECT count(*) FROM frames) AS frames,
  (SELECT count(*) FROM faces) AS faces,
  (SELECT count(*) FROM truth ANTI JOIN rows_of USING (p, o)) AS lost,
  (SELECT count(*) FROM rows_of WHERE n > 1) AS doubled,
  (SELECT count(*) FROM frames ANTI JOIN truth USING (p, o)) AS invented,
  (SELECT count(*) FROM frames JOIN truth USING (p, o)
   WHERE status <> 'ok' OR (frames.frame_id, frames.frame_seq, frames.source_id)
         IS DISTINCT FROM (truth.frame_id, truth.frame_seq, truth.source_id)) AS wrong,
  (SELECT count(*) FROM truth JOIN frames USING (p, o) LEFT JOIN faces_of USING (p, o)
   WHERE coalesce(n, 0) <> truth.faces OR face_count IS DISTINCT FROM truth.faces) AS miscounted,
  (SELECT count(*) FROM (SELECT p, o, i FROM faces GROUP BY ALL HAVING count(*) > 1))
    + (SELECT count(*) FROM faces ANTI JOIN rows_of USING (p, o)) AS doubled_faces,
  (SELECT count(*) FROM (SELECT source_id, window_start, kafka_partition, revision FROM windows GROUP BY ALL HAVING count(*) > 1))
    AS doubled_windows,
  (SELECT count(*) FROM windows) AS windows,
  (SELECT count(*) FROM latest FULL JOIN counted USING (source_id, kafka_partition, window_start)
   WHERE (latest.frames_ok, latest.faces_total, latest.tracks_started)
         IS DISTINCT FROM (counted.frames_ok, counted.faces_total, coalesce(counted.tracks_started, 0)))
    + (SELECT count(*) FROM (SELECT 1 FROM windows GROUP BY source_id, window_start, kafka_partition
                             HAVING count(DISTINCT revision) <> max(revision) + 1)) AS wrong_windows
";

impl Verdict {
    /// Looks at the store in `folder`. `truth` has the columns `p,o,frame_id,frame_seq,source_id,faces`. What `journal verify`
    /// says is not asked here.
    #[must_use]
    pub fn of(folder: &Path, topic: &str, truth: &Path) -> Verdict {
        let sql = TRUTH_AND_ROWS.replace("TRUTH", &truth.display().to_string()).replace("LENGTH", &WINDOW_S.to_string());
        let row = Duck::in_folder(folder).rows(&sql).remove(0);
        let number = |name: &str| number(&row, name);
        Verdict {
            frames: number("frames"),
            faces: number("faces"),
            lost: number("lost"),
            doubled: number("doubled"),
            invented: number("invented"),
            wrong: number("wrong"),
            miscounted: number("miscounted"),
            doubled_faces: number("doubled_faces"),
            doubled_windows: number("doubled_windows"),
            windows: number("windows"),
            wrong_windows: number("wrong_windows"),
            wrong_tracks: tracks::wrong(folder),
            stray: files(folder).into_iter().filter(|file| !belongs(file, topic)).collect(),
            verify: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Verdict { frames: self.frames, faces: self.faces, windows: self.windows, ..Verdict::default() }
    }
}

fn number(row: &Map<String, Value>, name: &str) -> u64 {
    let value = row.get(name).and_then(|value| value.as_u64().or(value.as_f64().map(|value| value as u64)));
    value.unwrap_or_else(|| panic!("{name} is no number in {row:?}"))
}

/// All files below a folder, as paths from there, sorted.
fn files(folder: &Path) -> Vec<String> {
    fn below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("reading {}: {error}", folder.display()));
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let from_there = |path: &PathBuf| path.strip_prefix(folder).expect("below it").display().to_string();
    let mut files: Vec<_> = below(folder).iter().map(from_there).collect();
    files.sort();
    files
}

/// Whether a file is a journal record or a data file, by its path in the store.
fn belongs(file: &str, topic: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match file.split('/').collect::<Vec<_>>()[..] {
        ["_journal", found, partition, name] => {
            found == topic
                && digits(partition)
                && name.strip_suffix(".arrow").is_some_and(|stem| stem.len() == 20 && digits(stem))
        }
        ["frames" | "detections" | "windows", date, hour, name] => {
            let numbers = name.strip_suffix(".parquet").and_then(|stem| stem.strip_prefix(topic)?.strip_prefix('-'));
            let date = date.strip_prefix("event_date=").unwrap_or_default();
            date.split('-').map(str::len).eq([4, 2, 2])
                && date.split('-').all(digits)
                && hour.strip_prefix("event_hour=").is_some_and(digits)
                && numbers.is_some_and(|numbers| numbers.split('-').count() == 4 && numbers.split('-').all(digits))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
pub(super) mod tracks;
