"""A step in Python: logistic regression on invented numbers. Needs no package."""
import json, math, os, pathlib, random

params = json.loads(pathlib.Path(os.environ["MLP_PARAMS"]).read_text())
events = open(os.environ["MLP_EVENTS"], "a", buffering=1)  # every line is written at once

def emit(event, **keys):
    events.write(json.dumps({"event": event, **keys}) + "\n")

def chance(x):
    return 1 / (1 + math.exp(-(weight * x + bias)))

def loss(part):
    return -sum(math.log(chance(x) if label else 1 - chance(x)) for x, label in part) / len(part)

random.seed(params["seed"])
points = [(random.gauss(1 if n % 2 else -1, 1), n % 2) for n in range(200)]
train, val = points[:160], points[160:]
checkpoint = pathlib.Path(os.environ["MLP_CHECKPOINTS"], "state.json")
weight, bias, done = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0.0, 0.0, 0)
for epoch in range(done + 1, params["epochs"] + 1):
    errors = [(chance(x) - label, x) for x, label in train]
    weight -= params["rate"] * sum(error * x for error, x in errors) / len(train)
    bias -= params["rate"] * sum(error for error, _ in errors) / len(train)
    emit("metric", name="train.loss", value=loss(train), epoch=epoch)
    emit("metric", name="val.loss", value=loss(val), epoch=epoch)
    emit("progress", task="training", done=epoch, total=params["epochs"])
    checkpoint.with_suffix(".new").write_text(json.dumps((weight, bias, epoch)))
    checkpoint.with_suffix(".new").replace(checkpoint)  # whole or not at all
pathlib.Path("build").mkdir(exist_ok=True)
pathlib.Path("build/weights.json").write_text(json.dumps({"weight": weight, "bias": bias}))
lines = [f"{x:.4f},{label},{chance(x):.4f}\n" for x, label in val]
pathlib.Path(os.environ["MLP_OUT"], "val.csv").write_text("".join(lines))
emit("artifact", path="val.csv", kind="predictions")
right = sum((chance(x) > 0.5) == label for x, label in val)
emit("result", value={"metrics": {"val.accuracy": right / len(val)}})
