"""What the program that facestream began as did: load a picture, make it grey, detectMultiScale as it is by default.

Paths of pictures are a list on stdin, the boxes of each a list on stdout.
"""

import json
import sys

import cv2

# With several the boxes come in the order in which threads end.
cv2.setNumThreads(1)
cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
boxes = [cascade.detectMultiScale(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY)) for path in json.load(sys.stdin)]
json.dump([[[int(number) for number in box] for box in picture] for picture in boxes], sys.stdout)
