"""Decodes pictures whole and has OpenCV resize them: by area where they shrink. Paths, sizes and PNG files to write are a list on stdin."""

import json
import sys

import cv2

for path, (width, height), target in json.load(sys.stdin):
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    cv2.imwrite(target, cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
json.dump(cv2.__version__, sys.stdout)
