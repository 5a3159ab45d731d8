"""Masks by another road: OpenCV resizes, Python's onnxruntime runs the network, numpy takes the arg-max.

    python reference_masks.py NETWORK.onnx PICTURE...  > labels of all pictures, one byte a pixel

RGB, /255, ImageNet mean and standard deviation; logits are brought to the picture's size bilinearly.
"""
import sys

import cv2
import numpy as np
import onnxruntime

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
_, _, rows, cols = session.get_inputs()[0].shape
for path in sys.argv[2:]:
    picture = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    resized = cv2.resize(picture.astype(np.float32) / 255, (cols, rows), interpolation=cv2.INTER_LINEAR)
    tensor = ((resized - MEAN) / STD).transpose(2, 0, 1)[None]
    logits = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})[0][0]
    height, width = picture.shape[:2]
    full = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in logits])
    sys.stdout.buffer.write(full.argmax(0).astype(np.uint8).tobytes())
