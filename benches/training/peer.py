#!/usr/bin/env python3
"""The same trainings in plain PyTorch, for `bench.py`: prints one JSON object.

    peer.py train --network cnn|mlp|small --data DIR --epochs N --batch N [--memory-format channels_last] [--bf16]
    peer.py target --network small --data DIR --epochs N --batch N
    peer.py infer --network cnn|mlp --batch N [--memory-format channels_last]
"""

import argparse
import gzip
import json
import os
import pathlib
import time

import numpy
import torch
from torch import nn


def idx(folder, name):
    """The values of an IDX file, plain or gzipped."""
    path = pathlib.Path(folder) / name
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(name + ".gz").read_bytes())
    dimensions = [int.from_bytes(data[4 + 4 * i:8 + 4 * i], "big") for i in range(data[3])]
    return torch.from_numpy(numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(dimensions)).reshape(dimensions).copy())


def images(folder, part):
    x = idx(folder, f"{part}-images-idx3-ubyte").float().div_(255).sub_(0.1307).div_(0.3081)
    return x.unsqueeze(1), idx(folder, f"{part}-labels-idx1-ubyte").long()


def network(name):
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    if name == "small":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def epoch(net, optimizer, schedule, x, y, batch, bf16):
    """One pass; seconds."""
    net.train()
    order = torch.randperm(len(x))
    begun = time.perf_counter()
    for at in range(0, len(x), batch):
        some = order[at:at + batch]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = nn.functional.cross_entropy(net(x[some]), y[some])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
    return time.perf_counter() - begun


def accuracy(net, x, y):
    net.eval()
    with torch.inference_mode():
        return sum((net(x[at:at + 256]).argmax(1) == y[at:at + 256]).sum().item() for at in range(0, len(x), 256)) / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["train", "target", "infer"])
    parser.add_argument("--network", default="cnn")
    parser.add_argument("--data")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--examples", type=int, default=60000)
    parser.add_argument("--memory-format", default="contiguous")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("THREADS", os.cpu_count())))
    torch.manual_seed(1)
    memory = torch.channels_last if args.memory_format == "channels_last" else torch.contiguous_format
    net = network(args.network).to(memory_format=memory)
    told = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if args.task == "infer":
        net.eval()
        x = torch.randn(args.batch, 1, 28, 28).to(memory_format=memory)
        times = []
        with torch.inference_mode():
            until = time.perf_counter() + 4
            while time.perf_counter() < until:
                begun = time.perf_counter()
                net(x)
                times.append(time.perf_counter() - begun)
        times.sort()
        told |= {"p50_us": times[len(times) // 2] * 1e6, "samples_per_second": args.batch / times[len(times) // 2]}
    else:
        x, y = images(args.data, "train")
        x, y = x[:args.examples].to(memory_format=memory), y[:args.examples]
        if args.task == "train":
            optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
            seconds = [epoch(net, optimizer, None, x, y, args.batch, args.bf16) for _ in range(args.epochs)]
            told["samples_per_second"] = [len(x) / each for each in seconds]
        else:
            xt, yt = images(args.data, "t10k")
            optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
            steps = args.epochs * -(-len(x) // args.batch)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
            for _ in range(args.epochs):
                epoch(net, optimizer, schedule, x, y, args.batch, args.bf16)
            told["accuracy"] = accuracy(net, xt, yt)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
