"""Sends a picture file to facestream, as a camera would: python produce.py BROKERS TOPIC CAMERA FILE"""
import os
import sys

from confluent_kafka import Producer

brokers, topic, camera, path = sys.argv[1:]
results = []
producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": 16 << 20})
with open(path, "rb") as file:
    headers = {"capture_ts_ns": str(os.fstat(file.fileno()).st_mtime_ns)}
    producer.produce(topic, file.read(), key=camera, headers=headers, on_delivery=lambda error, _: results.append(error))
producer.flush(30)
if results != [None]:
    sys.exit(f"{path} was not sent: {results or 'no answer'}")
