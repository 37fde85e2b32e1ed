-- Views for DuckDB 1.1 or newer over a store that facestream has written:
--
--   SET VARIABLE facestream_store = 's3://bucket/prefix';
--   .read schemas/sql/duckdb.sql
--
-- Without the variable the store is the folder `faces` in the current one. It is looked at whenever a view is used, so that a new
-- session has to set it again. Each table must have a file before its view can be made. The columns are described in
-- schemas/README.md.
--
-- union_by_name: files of an older version lack newer columns, which are null then. It looks into every file first; where all
-- are of one version, queries on very many files are faster without it.

CREATE OR REPLACE VIEW frames AS
SELECT *
FROM read_parquet(
    coalesce(getvariable('facestream_store'), 'faces') || '/frames/**/*.parquet',
    hive_partitioning = true, hive_types = {'event_date': DATE, 'event_hour': INTEGER}, union_by_name = true
);

CREATE OR REPLACE VIEW detections AS
SELECT *
FROM read_parquet(
    coalesce(getvariable('facestream_store'), 'faces') || '/detections/**/*.parquet',
    hive_partitioning = true, hive_types = {'event_date': DATE, 'event_hour': INTEGER}, union_by_name = true
);

CREATE OR REPLACE VIEW windows AS
SELECT *
FROM read_parquet(
    coalesce(getvariable('facestream_store'), 'faces') || '/windows/**/*.parquet',
    hive_partitioning = true, hive_types = {'event_date': DATE, 'event_hour': INTEGER}, union_by_name = true
);

-- Of each window the highest revision. Date and hour follow from window_start; named here, conditions on them prune files.
CREATE OR REPLACE VIEW windows_latest AS
SELECT *
FROM windows
QUALIFY revision = max(revision) OVER (
    PARTITION BY event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition
);

-- Windows of a source, summed over the partitions of a topic. Quantiles cannot be; and a source whose frames spread over
-- partitions has gaps in frame_seq in each of them that mean nothing, and tracks of its own in each.
CREATE OR REPLACE VIEW windows_by_source AS
SELECT
    event_date,
    event_hour,
    source_id,
    kafka_topic,
    window_start,
    max(window_end) AS window_end,
    count(DISTINCT kafka_partition) AS partitions,
    sum(frames_ok)::BIGINT AS frames_ok,
    sum(frames_failed)::BIGINT AS frames_failed,
    sum(frames_skipped)::BIGINT AS frames_skipped,
    CASE WHEN count(DISTINCT kafka_partition) = 1 THEN sum(frames_missing)::BIGINT END AS frames_missing,
    sum(frames_with_face)::BIGINT AS frames_with_face,
    sum(faces_total)::BIGINT AS faces_total,
    sum(faces_total) / nullif(sum(frames_ok), 0) AS faces_per_frame_mean,
    max(faces_per_frame_max) AS faces_per_frame_max,
    sum(score_mean * faces_total) / sum(faces_total) FILTER (WHERE score_mean IS NOT NULL) AS score_mean,
    sum(tracks_started)::BIGINT AS tracks_started,
    sum(late_frames)::BIGINT AS late_frames
FROM windows_latest
GROUP BY event_date, event_hour, source_id, kafka_topic, window_start;

-- Counted in frames: late frames are in it, and it does not depend on windows.length. faces is null where no frame was ok.
CREATE OR REPLACE VIEW faces_per_camera_and_minute AS
SELECT
    event_date,
    event_hour,
    source_id,
    date_trunc('minute', capture_ts) AS minute,
    count(*) AS frames,
    count(*) FILTER (WHERE status = 'ok') AS frames_ok,
    sum(face_count)::BIGINT AS faces,
    max(face_count) AS faces_per_frame_max
FROM frames
GROUP BY event_date, event_hour, source_id, minute;

-- Frames that were rejected; what a load policy left out is none of them.
CREATE OR REPLACE VIEW failures AS
SELECT
    event_date,
    event_hour,
    kafka_topic,
    kafka_partition,
    kafka_offset,
    source_id,
    capture_ts,
    status,
    error,
    content_type,
    size_bytes,
    run_id
FROM frames
WHERE status NOT IN ('ok', 'sampled_out', 'stale');
