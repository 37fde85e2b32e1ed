-- Tables for Amazon Athena (engine version 3) over a store that facestream has written to S3. Put your bucket and prefix for
-- s3://bucket/prefix, and your first day for 2026-01-01, then run the statements one at a time.
--
-- Partition projection: Athena works out the folders from the properties below, so that new hours need no crawler and no
-- MSCK REPAIR TABLE. event_date is text, as Athena's own examples have it: event_date >= '2026-11-22'. Queries should name a
-- range of it: without one every hour since the first day is looked for. Days outside of the range have no rows, so that it
-- reaches a day into the future. The columns are described in schemas/README.md.

CREATE DATABASE IF NOT EXISTS facestream;

CREATE EXTERNAL TABLE IF NOT EXISTS facestream.frames (
    frame_id string,
    source_id string,
    frame_seq bigint,
    capture_ts timestamp,
    ts_origin string,
    kafka_topic string,
    kafka_partition int,
    kafka_offset bigint,
    record_ts timestamp,
    content_type string,
    size_bytes bigint,
    image_w_px int,
    image_h_px int,
    status string,
    error string,
    face_count int,
    detector_id string,
    model_sha256 string,
    score_threshold float,
    nms_iou float,
    queue_ms float,
    fetch_ms float,
    decode_ms float,
    detect_ms float,
    e2e_ms double,
    worker_id int,
    run_id string
)
PARTITIONED BY (
    event_date string,
    event_hour int
)
STORED AS PARQUET
LOCATION 's3://bucket/prefix/frames/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.event_date.type' = 'date',
    'projection.event_date.format' = 'yyyy-MM-dd',
    'projection.event_date.range' = '2026-01-01,NOW+1DAYS',
    'projection.event_date.interval' = '1',
    'projection.event_date.interval.unit' = 'DAYS',
    'projection.event_hour.type' = 'integer',
    'projection.event_hour.range' = '0,23',
    'storage.location.template' = 's3://bucket/prefix/frames/event_date=${event_date}/event_hour=${event_hour}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS facestream.detections (
    kafka_topic string,
    kafka_partition int,
    kafka_offset bigint,
    detection_idx int,
    frame_id string,
    source_id string,
    capture_ts timestamp,
    bbox_x_px float,
    bbox_y_px float,
    bbox_w_px float,
    bbox_h_px float,
    truncated boolean,
    score float,
    score_kind string,
    landmarks_px array<float>,
    track_id string,
    detector_id string,
    model_sha256 string,
    image_w_px int,
    image_h_px int
)
PARTITIONED BY (
    event_date string,
    event_hour int
)
STORED AS PARQUET
LOCATION 's3://bucket/prefix/detections/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.event_date.type' = 'date',
    'projection.event_date.format' = 'yyyy-MM-dd',
    'projection.event_date.range' = '2026-01-01,NOW+1DAYS',
    'projection.event_date.interval' = '1',
    'projection.event_date.interval.unit' = 'DAYS',
    'projection.event_hour.type' = 'integer',
    'projection.event_hour.range' = '0,23',
    'storage.location.template' = 's3://bucket/prefix/detections/event_date=${event_date}/event_hour=${event_hour}/'
);

CREATE EXTERNAL TABLE IF NOT EXISTS facestream.windows (
    source_id string,
    window_start timestamp,
    window_end timestamp,
    kafka_topic string,
    kafka_partition int,
    revision int,
    frames_ok bigint,
    frames_failed bigint,
    frames_skipped bigint,
    frames_missing bigint,
    frames_with_face bigint,
    faces_total bigint,
    faces_per_frame_mean double,
    faces_per_frame_max bigint,
    score_mean double,
    tracks_started bigint,
    e2e_ms_p50 double,
    e2e_ms_p99 double,
    late_frames bigint,
    closed_by string
)
PARTITIONED BY (
    event_date string,
    event_hour int
)
STORED AS PARQUET
LOCATION 's3://bucket/prefix/windows/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.event_date.type' = 'date',
    'projection.event_date.format' = 'yyyy-MM-dd',
    'projection.event_date.range' = '2026-01-01,NOW+1DAYS',
    'projection.event_date.interval' = '1',
    'projection.event_date.interval.unit' = 'DAYS',
    'projection.event_hour.type' = 'integer',
    'projection.event_hour.range' = '0,23',
    'storage.location.template' = 's3://bucket/prefix/windows/event_date=${event_date}/event_hour=${event_hour}/'
);

-- Of each window the highest revision. Date and hour follow from window_start; named here, conditions on them prune folders.
CREATE OR REPLACE VIEW facestream.windows_latest AS
SELECT *
FROM facestream.windows
WHERE (event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition, revision) IN (
    SELECT event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition, max(revision)
    FROM facestream.windows
    GROUP BY event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition
);
