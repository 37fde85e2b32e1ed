-- Tables for Spark 3.4 or newer over a store that facestream has written:
--
--   spark-sql -d store=s3a://bucket/prefix -f schemas/sql/spark.sql
--
-- The columns are described in schemas/README.md; Spark reads all of them as nullable, and columns that an older file lacks as
-- null. New hours have to be made known: run the statements MSCK REPAIR TABLE again, once an hour, say.

CREATE DATABASE IF NOT EXISTS facestream;
USE facestream;

CREATE TABLE IF NOT EXISTS frames (
    frame_id STRING,
    source_id STRING,
    frame_seq BIGINT,
    capture_ts TIMESTAMP,
    ts_origin STRING,
    kafka_topic STRING,
    kafka_partition INT,
    kafka_offset BIGINT,
    record_ts TIMESTAMP,
    content_type STRING,
    size_bytes BIGINT,
    image_w_px INT,
    image_h_px INT,
    status STRING,
    error STRING,
    face_count INT,
    detector_id STRING,
    model_sha256 STRING,
    score_threshold FLOAT,
    nms_iou FLOAT,
    queue_ms FLOAT,
    fetch_ms FLOAT,
    decode_ms FLOAT,
    detect_ms FLOAT,
    e2e_ms DOUBLE,
    worker_id INT,
    run_id STRING,
    event_date DATE,
    event_hour INT
)
USING parquet
PARTITIONED BY (event_date, event_hour)
LOCATION '${store}/frames'
COMMENT 'One row for each consumed message';

MSCK REPAIR TABLE frames;

CREATE TABLE IF NOT EXISTS detections (
    kafka_topic STRING,
    kafka_partition INT,
    kafka_offset BIGINT,
    detection_idx INT,
    frame_id STRING,
    source_id STRING,
    capture_ts TIMESTAMP,
    bbox_x_px FLOAT,
    bbox_y_px FLOAT,
    bbox_w_px FLOAT,
    bbox_h_px FLOAT,
    truncated BOOLEAN,
    score FLOAT,
    score_kind STRING,
    landmarks_px ARRAY<FLOAT>,
    track_id STRING,
    detector_id STRING,
    model_sha256 STRING,
    image_w_px INT,
    image_h_px INT,
    event_date DATE,
    event_hour INT
)
USING parquet
PARTITIONED BY (event_date, event_hour)
LOCATION '${store}/detections'
COMMENT 'One row for each face';

MSCK REPAIR TABLE detections;

CREATE TABLE IF NOT EXISTS windows (
    source_id STRING,
    window_start TIMESTAMP,
    window_end TIMESTAMP,
    kafka_topic STRING,
    kafka_partition INT,
    revision INT,
    frames_ok BIGINT,
    frames_failed BIGINT,
    frames_skipped BIGINT,
    frames_missing BIGINT,
    frames_with_face BIGINT,
    faces_total BIGINT,
    faces_per_frame_mean DOUBLE,
    faces_per_frame_max BIGINT,
    score_mean DOUBLE,
    tracks_started BIGINT,
    e2e_ms_p50 DOUBLE,
    e2e_ms_p99 DOUBLE,
    late_frames BIGINT,
    closed_by STRING,
    event_date DATE,
    event_hour INT
)
USING parquet
PARTITIONED BY (event_date, event_hour)
LOCATION '${store}/windows'
COMMENT 'One row for each window of a source in a partition, and revision';

MSCK REPAIR TABLE windows;

-- Of each window the highest revision. Date and hour follow from window_start; named here, conditions on them prune files.
CREATE OR REPLACE VIEW windows_latest AS
SELECT *
FROM windows
WHERE (event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition, revision) IN (
    SELECT event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition, max(revision)
    FROM windows
    GROUP BY event_date, event_hour, source_id, window_start, kafka_topic, kafka_partition
);
