"""Sends facestream a claim check, in JSON: where a picture file lies. python produce_uri.py BROKERS TOPIC CAMERA FILE"""
import hashlib
import json
import pathlib
import sys

from confluent_kafka import Producer

brokers, topic, camera, path = sys.argv[1:]
file = pathlib.Path(path).resolve()
frame = {
    "source_id": camera,
    "capture_ts_ns": file.stat().st_mtime_ns,
    "image_uri": file.as_uri(),  # or s3://bucket/key, https://host/path, …
    "image_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
}
results = []
producer = Producer({"bootstrap.servers": brokers})
producer.produce(topic, json.dumps(frame), key=camera, on_delivery=lambda error, _: results.append(error))
producer.flush(30)
if results != [None]:
    sys.exit(f"{path} was not announced: {results or 'no answer'}")
