"""Average precision by pycocotools, for a list of sets of pictures on stdin.

COCO's own figure is the mean of the precision at 101 recalls. With N faces recall is one of 1/N, 2/N, ... 1, and the area below the curve
is the mean of the precision at these N: so it is asked for them, half a step earlier, where rounding does not matter.
"""

import contextlib
import io
import json
import sys

import numpy
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def data_set(annotations, pictures):
    coco = COCO()
    for number, annotation in enumerate(annotations):
        x, y, w, h = annotation["bbox"]
        annotation.update(id=number + 1, category_id=1, area=w * h)
    coco.dataset = {
        "images": [{"id": number} for number in range(pictures)],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def evaluate(pictures):
    faces = [
        {"image_id": number, "bbox": bbox, "iscrowd": int(ignored)}
        for number, picture in enumerate(pictures)
        for bbox, ignored in picture["faces"]
    ]
    found = [
        {"image_id": number, "bbox": bbox, "score": score, "iscrowd": 0}
        for number, picture in enumerate(pictures)
        for bbox, score in picture["found"]
    ]
    count = sum(not face["iscrowd"] for face in faces)
    evaluation = COCOeval(data_set(faces, len(pictures)), data_set(found, len(pictures)), "bbox")
    evaluation.params.iouThrs = numpy.array([0.5])
    evaluation.params.recThrs = (numpy.arange(count) + 0.5) / max(count, 1)
    evaluation.params.maxDets = [10**6]
    evaluation.params.areaRng = [[0, 1e10]]
    evaluation.params.areaRngLbl = ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"]
    matched = [image for image in evaluation.evalImgs if image is not None]
    counting = numpy.concatenate([image["dtMatches"][0][image["dtIgnore"][0] == 0] for image in matched] or [[]])
    right = int((counting > 0).sum())
    return {
        "ap": float(precision[0, :, 0, 0, 0].mean()) if count else None,
        "counts": [count, right, len(counting) - right],
    }


with contextlib.redirect_stdout(io.StringIO()):
    results = [evaluate(pictures) for pictures in json.load(sys.stdin)]
json.dump(results, sys.stdout)
