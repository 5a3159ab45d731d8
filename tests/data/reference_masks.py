"""Masks by another road: OpenCV resizes, Python's onnxruntime runs the network, numpy takes the arg-max.

    python reference_masks.py common|fine NETWORK.onnx PICTURE...  > labels of all pictures, one byte a pixel

RGB, /255, ImageNet mean and standard deviation. `common`: bytes are resized to bytes, labels by the nearest
cell; `fine`: both in floats and bilinearly.
"""
import sys

import cv2
import numpy as np
import onnxruntime

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

fine = sys.argv[1] == "fine"
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
_, _, rows, cols = session.get_inputs()[0].shape
for path in sys.argv[3:]:
    picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    size = picture.shape[1::-1]
    resized = cv2.resize(picture.astype(np.float32) if fine else picture, (cols, rows))
    tensor = ((resized.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
    logits = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})[0][0]
    if fine:
        labels = np.stack([cv2.resize(plane, size) for plane in logits]).argmax(0).astype(np.uint8)
    else:
        labels = cv2.resize(logits.argmax(0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    sys.stdout.buffer.write(labels.tobytes())
