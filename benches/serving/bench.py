#!/usr/bin/env python3
"""`mlp serve` beside the same network behind FastAPI, uvicorn and PyTorch, in turn in one run, on the same machine.

    benches/serving/bench.py [--mlp PATH] [--python PATH] [--seconds N] [--rounds N] [--requests N] [--only load,start,swap,rollback]

load      wrk, one image a request, keep-alive, 1 and 8 connections: requests/s, latency, memory of all processes
start     from the start of `mlp serve` to its first answer, everything verified, for a model of 4.8 MB: milliseconds
swap      wrk while the stage is promoted and rolled back all the time, until --requests were answered: how many failed
rollback  from the moment a rule of a canary is broken until the last answer of the canary: milliseconds

--mlp     the mlp program; default: target/release/mlp
--python  a Python with torch, fastapi and uvicorn[standard] for the peer; default: the one that runs this

Needs wrk (Debian has it). uvicorn runs once with one worker and PyTorch on all processors and once with a worker per processor; the better of
the two is the peer. Both answer the same image alike, which is checked. Prints Markdown with the load of the machine.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent

MANIFEST = """mlp: 1
project: {name: bench, id: 01jd3q0000000000000000000e, profile: research}
data:
  bars: {path: data/bars, format: idx, guard: {overlap: 1000}}
models:
  bars:
    data: bars
    input: {shape: [1, 28, 28], normalize: {mean: 0.1307, std: 0.3081}}
    network: [{conv2d: {out: 32, kernel: 3}}, relu, {conv2d: {out: 64, kernel: 3}}, relu, {max_pool2d: 2}, flatten, {linear: 128}, relu,
              {linear: 10}]
    train: {optimizer: {adamw: {lr: RATE}}, epochs: 1, batch_size: 64, seed: SEED}
stages:
  production: {}
serve: {canary: {min_requests: 20, abort: [{disagreement: {max: 0.2}}]}}
"""


def image(label, seed):
    """A bright bar on a dark ground: ten classes that a network learns at once."""
    noise = random.Random(seed).randbytes(784)
    return bytes((200 if at % 28 * 10 // 28 == label else 0) + noise[at] % 50 for at in range(784))


def write_data(folder):
    folder.mkdir(parents=True)
    for part, count in [("train", 320), ("t10k", 100)]:
        labels = bytes(i % 10 for i in range(count))
        pixels = b"".join(image(label, i) for i, label in enumerate(labels))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)


class Project:
    def __init__(self, mlp, folder):
        # What does not belong to the project lies beside it: its gates want everything committed.
        self.mlp, self.folder, self.model = mlp, folder / "project", folder / "model"
        self.folder.mkdir()
        self.model.mkdir()
        self.environment = os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "GIT_CONFIG_NOSYSTEM": "1"}
        self.run("git", "init", "-q", "-b", "main")
        for key, value in [("user.name", "Ada"), ("user.email", "ada@example.org")]:
            self.run("git", "config", key, value)
        write_data(self.folder / "data/bars")
        # The second version has learnt nothing: it disagrees with the first.
        for rate, seed in [("0.001", 1), ("1e-9", 2)]:
            (self.folder / "mlp.yaml").write_text(MANIFEST.replace("RATE", rate).replace("SEED", str(seed)))
            self.run(mlp, "data", "add", "bars")
            self.run("git", "add", "-A")
            self.run("git", "commit", "-qm", "settings")
            self.run(mlp, "train", "bars", "--quiet")
            self.run(mlp, "model", "register", "bars", "--quiet")
            if seed == 1:
                for name in ("model.json", "model.safetensors"):
                    (self.model / name).write_bytes(self.run(mlp, "runs", "show", "bars", "--file", f"model/{name}", text=False))
        self.promote(1)

    def run(self, *command, text=True):
        done = subprocess.run([str(word) for word in command], cwd=self.folder, env=self.environment, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"{command}: {done.returncode}\n{done.stdout.decode()}{done.stderr.decode()}")
        return done.stdout.decode() if text else done.stdout

    def promote(self, version):
        self.run(self.mlp, "promote", f"bars@{version}", "--to", "production")

    def serve(self, *more):
        return Server([self.mlp, "serve", "bars@production", "--port", "0", "--json", *more], self.folder, self.environment)


class Server:
    """`mlp serve`, or uvicorn on a given port."""

    def __init__(self, command, folder, environment, port=None):
        self.begun = time.perf_counter()
        self.process = subprocess.Popen([str(word) for word in command], cwd=folder, env=environment, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        self.port = port or int(json.loads(self.process.stdout.readline())["address"].rsplit(":", 1)[1])

    def ask(self, body, headers=None, method="POST", path="/predict"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Content-Type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text!r}")
        return text

    def wait(self, body):
        while True:
            try:
                return self.ask(body)
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"the server ended: {self.process.returncode}")
                time.sleep(0.05)

    def memory(self):
        """Proportional set size of the server with all its processes, in MB."""
        total = 0
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                session = (folder / "stat").read_text().rsplit(")", 1)[1].split()[3]
                if int(session) == self.process.pid:
                    total += int(re.search(r"^Pss:\s+(\d+)", (folder / "smaps_rollup").read_text(), re.M)[1])
            except (OSError, TypeError):
                pass
        return total / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(port, seconds, connections, script):
    said = subprocess.run(["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s", "--latency",
                           "-s", str(script), f"http://127.0.0.1:{port}/predict"], capture_output=True, text=True, check=True).stdout
    found = {"requests": int(re.search(r"(\d+) requests in", said)[1]), "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])}
    for quantile in ("50", "99"):
        found["p" + quantile] = milliseconds(re.search(rf"^\s+{quantile}%\s+(\S+)", said, re.M)[1])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    found["failed"] = (int(bad[1]) if bad else 0) + (sum(map(int, errors.groups())) if errors else 0)
    return found


def peer(python, model, workers):
    environment = os.environ | {"MODEL": str(model), "THREADS": str(max(1, os.cpu_count() // workers)), "OMP_NUM_THREADS": str(max(1, os.cpu_count() // workers))}
    command = [python, "-m", "uvicorn", "peer:app", "--port", "8765", "--workers", str(workers), "--log-level", "warning", "--no-access-log"]
    return Server(command, HERE, environment, port=8765)


def load(project, args, body, script):
    rows = []
    answers = {}
    for _ in range(args.rounds):
        kinds = [("mlp serve", lambda: project.serve())]
        kinds += [(f"FastAPI, {workers} worker{'s' if workers > 1 else ''}", lambda workers=workers: peer(args.python, project.model, workers))
                  for workers in (1, os.cpu_count())]
        for name, start in kinds:
            server = start()
            answers[name] = json.loads(server.wait(body))["predictions"][0]
            wrk(server.port, 2, 8, script)
            for connections in (1, 8):
                found = wrk(server.port, args.seconds, connections, script)
                rows.append((name, connections, found, server.memory()))
            server.stop()
    for name, answer in answers.items():
        wanted = answers["mlp serve"]
        difference = max(abs(a - b) for a, b in zip(answer["probabilities"], wanted["probabilities"]))
        if answer["label"] != wanted["label"] or difference > 1e-3:
            sys.exit(f"{name} says something else: {answer} {wanted}")
    print("\n| server | connections | requests/s | p50 ms | p99 ms | memory MB | failed |\n|---|---|---|---|---|---|---|")
    for name, connections in dict.fromkeys((row[0], row[1]) for row in rows):
        own = [row for row in rows if row[:2] == (name, connections)]
        middle = lambda key: statistics.median(row[2][key] for row in own)
        memory = statistics.median(row[3] for row in own)
        print(f"| {name} | {connections} | {middle('rate'):.0f} | {middle('p50'):.2f} | {middle('p99'):.2f} | {memory:.0f} | "
              f"{sum(row[2]['failed'] for row in own)} |", flush=True)


def start(project, args, body):
    times = []
    for _ in range(5 * args.rounds):
        server = project.serve()
        server.ask(body)
        times.append(1000 * (time.perf_counter() - server.begun))
        server.stop()
    print(f"\nFrom the start to the first answer, {len(times)} times: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms.", flush=True)


def swap(project, args, script):
    server = project.serve()
    swaps, done = [0], threading.Event()

    def exchange():
        while not done.is_set():
            project.promote(2)
            project.run(project.mlp, "rollback", "bars", "--stage", "production")
            swaps[0] += 2

    thread = threading.Thread(target=exchange)
    thread.start()
    requests = failed = 0
    while requests < args.requests:
        found = wrk(server.port, args.seconds, 8, script)
        requests, failed = requests + found["requests"], failed + found["failed"]
    done.set()
    thread.join()
    time.sleep(1)
    text = server.ask(b"", method="GET", path="/metrics").decode()
    seen = re.search(r'^mlp_swaps_total\{model="bars"\} (\d+)', text, re.M)
    server.stop()
    print(f"\nExchanged {swaps[0]} times in the ledger, {seen[1] if seen else 0} times in the server: {failed} of {requests} requests failed.", flush=True)


def rollback(project, args):
    times = []
    bodies = [json.dumps({"instances": [list(image(label, 12345))]}) for label in range(10)]
    for _ in range(3 * args.rounds):
        server = project.serve("--canary", "bars@2=50%")
        answered, broken, last = 0, None, None
        for client in range(4000):
            version = json.loads(server.ask(bodies[client % 10], {"x-mlp-key": f"client {client}"}))["version"]
            now = time.perf_counter()
            if version == 2:
                answered, last = answered + 1, now
            # An untrained network says one class to everything, and so disagrees on most of ten: with the 20th answer the rule is broken.
            if answered == 20 and broken is None:
                broken = now
            if broken and now - broken > 3:
                break
        text = server.ask(b"", method="GET", path="/metrics").decode()
        assert 'mlp_canary_aborted{model="bars",version="2"} 1' in text, text
        times.append(1000 * (last - broken))
        server.stop()
    print(f"\nFrom the broken rule to the canary's last answer, {len(times)} times: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlp", default=REPOSITORY / "target/release/mlp", type=pathlib.Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--only", default="load,start,swap,rollback")
    args = parser.parse_args()
    only = args.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        project = Project(args.mlp.resolve(), pathlib.Path(folder))
        pixels = list(image(3, 12345))
        body = json.dumps({"instances": [pixels]})
        script = pathlib.Path(folder) / "post.lua"
        script.write_text(f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body}]==]\n')
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before, {subprocess.run(['uname', '-rm'], capture_output=True, text=True).stdout.strip()}, "
              f"{project.run(project.mlp, '--version').strip()}")
        if "load" in only:
            load(project, args, body, script)
        if "start" in only:
            start(project, args, body)
        if "swap" in only:
            swap(project, args, script)
        if "rollback" in only:
            rollback(project, args)
        print(f"\nLoad {os.getloadavg()[0]:.1f} after.")


if __name__ == "__main__":
    main()
