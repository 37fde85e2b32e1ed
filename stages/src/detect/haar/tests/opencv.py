"""The boxes of OpenCV's own cascades: one job a line in, as JSON, one list of boxes a line out."""

import json
import sys

import cv2

cv2.setNumThreads(1)
for line in sys.stdin:
    job = json.loads(line)
    grey = cv2.cvtColor(cv2.imread(job["picture"]), cv2.COLOR_BGR2GRAY)
    cascade = cv2.CascadeClassifier(job["cascade"])
    least = (job["least"], job["least"])
    boxes = cascade.detectMultiScale(grey, job["scale_factor"], job["min_neighbors"], 0, least)
    print(json.dumps([[int(number) for number in box] for box in boxes]))
