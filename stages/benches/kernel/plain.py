"""What OpenCV alone takes for a picture, in CPU time of one thread.

Arguments: the picture, the model, the cascade; `-` for a part that is not there. In: a line with the name of a loop. Out: the CPU
milliseconds of the second of two rounds, which finds caches and buffers as a steady stream would.
"""

import sys
import time

import cv2
import numpy

cv2.setNumThreads(1)
jpeg = numpy.fromfile(sys.argv[1], numpy.uint8)
model, cascade = sys.argv[2:]


def yunet(size):
    detector = cv2.FaceDetectorYN.create(model, "", size, 0.6, 0.3)

    def faces():
        picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        return detector.detect(picture if picture.shape[1::-1] == size else cv2.resize(picture, size))

    return faces


def haar():
    classifier = cv2.CascadeClassifier(cascade)
    grey = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    return lambda: classifier.detectMultiScale(grey)


loops = {}
if model != "-":
    loops["yunet"] = yunet((640, 360))
    loops["yunet at full size"] = yunet((1920, 1080))
if cascade != "-":
    loops["haar"] = haar()
print(cv2.__version__, flush=True)
for line in sys.stdin:
    loop = loops[line.rstrip("\n")]
    loop()
    start = time.process_time()
    loop()
    print((time.process_time() - start) * 1e3, flush=True)
