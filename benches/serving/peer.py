"""The network of `bench.py` behind FastAPI: what people write, without what they often forget (inference mode, one thread per worker).

    MODEL=FOLDER uvicorn peer:app --workers N
"""

import json
import os
import pathlib
import struct

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from torch import nn

torch.set_num_threads(int(os.environ.get("THREADS", "1")))


def tensors(path):
    """The tensors of a safetensors file, in the order of their bytes."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + length])
    head.pop("__metadata__", None)
    found = sorted(head.values(), key=lambda tensor: tensor["data_offsets"])
    for tensor in found:
        start, end = (8 + length + offset for offset in tensor["data_offsets"])
        yield torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32).reshape(tensor["shape"])


def network(folder):
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    waiting = list(tensors(pathlib.Path(folder) / "model.safetensors"))
    with torch.no_grad():
        for parameter in net.parameters():
            # Shapes differ from one parameter to the next, so that each has one tensor.
            index = next(i for i, tensor in enumerate(waiting) if tensor.shape == parameter.shape)
            parameter.copy_(waiting.pop(index))
    assert not waiting
    return net.eval()


net = network(os.environ["MODEL"])
classes = json.loads((pathlib.Path(os.environ["MODEL"]) / "model.json").read_text())["classes"]
app = FastAPI()


class Request(BaseModel):
    instances: list[list[float]]


@app.post("/predict")
def predict(request: Request):
    with torch.inference_mode():
        x = torch.tensor(request.instances).reshape(-1, 1, 28, 28).div_(255).sub_(0.1307).div_(0.3081)
        probabilities = net(x).softmax(1)
    labels = probabilities.argmax(1).tolist()
    rows = probabilities.tolist()
    return {"predictions": [{"label": classes[label], "probabilities": row} for label, row in zip(labels, rows)]}
