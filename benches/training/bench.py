#!/usr/bin/env python3
"""mlp's training beside plain PyTorch: the same networks on MNIST, in turn in one run, on the same machine.

    benches/training/bench.py [--rounds N] [--only cnn,mlp,start,target,inference] [--mnist DIR] [--mlp PATH] [--inference PATH]
                                  [--python PATH]

cnn     conv 32, conv 64, max pool, dropout, linear 128, dropout, linear 10; AdamW, batch 64, one epoch: samples/s
mlp     784-256-128-10; AdamW, batch 256, four epochs, the best of them: samples/s
target  the whole command, from its start to a model that was tested: wall seconds, CPU seconds, peak memory, accuracy
start   from the start of `mlp train` until data and network are ready and the first step begins: seconds; PyTorch: until it is imported
inference  batches of 64: samples/s; one image: microseconds (median); for cnn and mlp

--mnist   folder of the four IDX files (plain or .gz); default $MNIST_DIR, else ../shared/data/mnist
--mlp     the mlp program; default: target/release/mlp, built if it is not there
--inference  the program that `cargo bench --bench inference --no-run` builds; built and run by cargo if not given
--python  a Python with torch and numpy for the peer; default: the one that runs this

PyTorch trains on 60,000 images; mlp keeps a tenth of them for validation: samples/s count what is trained on, `target` has that much less to do. PyTorch runs in its default
layout and with channels last; the better of the two is the peer. Both use all processors. Prints Markdown; medians of the rounds.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PEER = pathlib.Path(__file__).with_name("peer.py")

MANIFEST = """mlp: 1
project: {name: bench, id: 01jd3q0000000000000000000c}
data:
  mnist: {path: data/mnist, format: idx, split: {val: 0.1, by: hash, seed: 1}}
models:
  cnn:
    data: mnist
    input: {shape: [1, 28, 28], normalize: {mean: 0.1307, std: 0.3081}}
    network: [{conv2d: {out: 32, kernel: 3}}, relu, {conv2d: {out: 64, kernel: 3}}, relu, {max_pool2d: 2}, {dropout: 0.25},
              flatten, {linear: 128}, relu, {dropout: 0.5}, {linear: 10}]
    train: {optimizer: {adamw: {lr: 0.001}}, epochs: 1, batch_size: 64}
  mlp:
    data: mnist
    input: {shape: [1, 28, 28], normalize: {mean: 0.1307, std: 0.3081}}
    network: [flatten, {linear: 256}, relu, {linear: 128}, relu, {linear: 10}]
    train: {optimizer: {adamw: {lr: 0.001}}, epochs: 4, batch_size: 256}
  small:
    data: mnist
    input: {shape: [1, 28, 28], normalize: {mean: 0.1307, std: 0.3081}}
    network: [{conv2d: {out: 16, kernel: 3, padding: 1}}, relu, {max_pool2d: 2}, {conv2d: {out: 32, kernel: 3, padding: 1}}, relu,
              {max_pool2d: 2}, flatten, {linear: 128}, relu, {dropout: 0.3}, {linear: 10}]
    train: {optimizer: {adamw: {lr: 0.001}}, schedule: {one_cycle: {max_lr: 0.01}}, epochs: 2, batch_size: 64}
"""


def run(command, cwd=None):
    """Runs a program with all its children; (output, wall seconds, CPU seconds, peak MB of the largest process)."""
    launch = "import os,sys,time,resource\nt=time.monotonic()\np=os.posix_spawnp(sys.argv[2],sys.argv[2:],os.environ)\n" \
        "_,s=os.waitpid(p,0)\nw=time.monotonic()-t\nu=resource.getrusage(resource.RUSAGE_CHILDREN)\n" \
        "open(sys.argv[1],'w').write(f'{s} {w} {u.ru_utime+u.ru_stime} {u.ru_maxrss/1024}')"
    with tempfile.NamedTemporaryFile("r") as told:
        process = subprocess.run([sys.executable, "-c", launch, told.name, *command], cwd=cwd, text=True, capture_output=True)
        status, wall, cpu, peak = told.read().split()
    if status != "0":
        sys.exit(f"{command} failed:\n{process.stdout}{process.stderr}")
    return process.stdout, float(wall), float(cpu), float(peak)


class Watched(threading.Thread):
    """CPU seconds and peak MB of the process that mlp hands a training to: nobody's child, so its last figures are read from /proc."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.cpu, self.peak, self.over = str(work), 0.0, 0.0, False

    def run(self):
        while not self.over:
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                try:
                    if self.work in (command := (process / "cmdline").read_text(errors="replace")) and "agent\0work" in command:
                        fields = (process / "stat").read_text().rpartition(")")[2].split()
                        peak = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
                        self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                        self.peak = int(peak.split()[1]) / 1024
                except (OSError, StopIteration):
                    pass
            time.sleep(0.05)


def lines(output):
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="cnn,mlp,start,target,inference")
    parser.add_argument("--mnist", default=os.environ.get("MNIST_DIR", REPOSITORY.parent / "shared/data/mnist"))
    parser.add_argument("--mlp")
    parser.add_argument("--inference")
    parser.add_argument("--python", default=sys.executable)
    args = parser.parse_args()
    mlp = args.mlp or str(REPOSITORY / "target/release/mlp")
    if not pathlib.Path(mlp).exists():
        subprocess.run(["cargo", "build", "--release"], cwd=REPOSITORY, check=True)
    mlp = str(pathlib.Path(mlp).resolve())
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        data = work / "data/mnist"
        shutil.copytree(args.mnist, data)
        (work / "mlp.yaml").write_text(MANIFEST)
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.org"]
        for command in ([*git, "init", "-q"], [mlp, "data", "add", "mnist"], [*git, "add", "-A"], [*git, "commit", "-qm", "begin"]):
            run(command, work)

        def ours(model, seed, *more):
            output, *_ = run([mlp, "train", model, "--force", "--json", "--set", f"train.seed={seed}", *more], work)
            return max(event["value"] for event in lines(output) if event.get("name") == "samples_per_second")

        def theirs(*more):
            return json.loads(run([args.python, str(PEER), *more, "--data", str(data)])[0].splitlines()[-1])

        for network, batch, epochs in [("cnn", 64, 1), ("mlp", 256, 4)]:
            if network not in args.only.split(","):
                continue
            figures = {"mlp": [], "PyTorch": [], "PyTorch, channels last": [], "PyTorch, bf16": []}
            for seed in range(args.rounds):
                same = ["train", "--network", network, "--batch", str(batch), "--epochs", str(epochs)]
                figures["mlp"].append(ours(network, seed))
                figures["PyTorch"].append(max(theirs(*same)["samples_per_second"]))
                if network == "cnn":
                    figures["PyTorch, channels last"].append(max(theirs(*same, "--memory-format", "channels_last")["samples_per_second"]))
                figures["PyTorch, bf16"].append(max(theirs(*same, "--bf16")["samples_per_second"]))
            medians = {name: statistics.median(values) for name, values in figures.items() if values}
            print(f"\n### {network}\n\n| | samples/s | rounds | mlp is |\n|---|---|---|---|")
            for name, value in medians.items():
                print(f"| {name} | {value:,.0f} | {', '.join(f'{each:,.0f}' for each in figures[name])} | {medians['mlp'] / value:.2f} times |")
        if "start" in args.only.split(","):
            print("\n### to the first step\n\n| | seconds | rounds |\n|---|---|---|")

            def ready():
                begun = time.monotonic()
                with subprocess.Popen([mlp, "train", "mlp", "--force", "--json", "--set", "train.epochs=1"], cwd=work, stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, text=True) as process:
                    # The trainer says what it trains when all is there.
                    took = next(time.monotonic() - begun for line in process.stdout if " parameters, " in line)
                    for _ in process.stdout:
                        pass
                return took

            figures = {"mlp": [], "PyTorch": []}
            for _ in range(args.rounds):
                figures["mlp"].append(ready())
                if importlib.util.find_spec("torch") or args.python != sys.executable:
                    figures["PyTorch"].append(run([args.python, "-c", "import torch"])[1])
            for name, values in figures.items():
                if values:
                    print(f"| {name} | {statistics.median(values):.2f} | {', '.join(f'{each:.2f}' for each in values)} |")
        if "inference" in args.only.split(","):
            program = [args.inference] if args.inference else ["cargo", "bench", "-q", "--bench", "inference", "--"]
            print("\n### inference\n\n| | cnn, 64: samples/s | cnn, 1: us | mlp, 64: samples/s | mlp, 1: us |\n|---|---|---|---|---|")
            rows = {"mlp": [], "PyTorch": [], "PyTorch, channels last": []}
            for _ in range(args.rounds):
                for name, figures in rows.items():
                    row = []
                    for network, batch in [("cnn", 64), ("cnn", 1), ("mlp", 64), ("mlp", 1)]:
                        if name == "mlp":
                            told = json.loads(run([*program, network, str(batch)], REPOSITORY)[0].splitlines()[-1])
                        else:
                            layout = "channels_last" if "last" in name else "contiguous"
                            told = theirs("infer", "--network", network, "--batch", str(batch), "--memory-format", layout)
                        row.append(told["samples_per_second" if batch > 1 else "p50_us"])
                    figures.append(row)
            for name, figures in rows.items():
                print(f"| {name} | " + " | ".join(f"{statistics.median(column):,.1f}" for column in zip(*figures)) + " |")
        if "target" in args.only.split(","):
            print("\n### from the start of the command to a tested model\n\n| | wall s | CPU s | peak MB | test accuracy |\n|---|---|---|---|---|")
            rows = {"mlp": [], "PyTorch": []}
            for seed in range(args.rounds):
                begun, watched = time.monotonic(), Watched(work)
                watched.start()
                _, _, cpu, peak = run([mlp, "train", "small", "--force", "--json", "--set", f"train.seed={seed}"], work)
                watched.over = True
                output, _, cpu_too, peak_too = run([mlp, "eval", "small", "--json"], work)
                accuracy = lines(output)[-1]["metrics"]["accuracy"]["value"]
                rows["mlp"].append((time.monotonic() - begun, cpu + cpu_too + watched.cpu, max(peak, peak_too, watched.peak), accuracy))
                output, wall, cpu, peak = run(
                    [args.python, str(PEER), "target", "--network", "small", "--epochs", "2", "--batch", "64", "--data", str(data)])
                rows["PyTorch"].append((wall, cpu, peak, json.loads(output.splitlines()[-1])["accuracy"]))
            for name, measured in rows.items():
                wall, cpu, peak, accuracy = (statistics.median(column) for column in zip(*measured))
                print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {100 * accuracy:.2f} % |")


if __name__ == "__main__":
    main()
