#!/usr/bin/env python3
"""Times `mlp data add` and a no-op `mlp data status` beside `dvc add` and `dvc status`, in one run, in turn.

The data are the 70,000 MNIST images as PNG files in one folder per part and class, written from the IDX files.

    benches/data.py [--mnist DIR] [--rounds N] [--dvc PATH] [--mlp PATH]

--mnist  folder of the four IDX files (plain or .gz); default $MNIST_DIR, else ../shared/data/mnist; without either
         the same number of synthetic digits is used (and said so).
--dvc    the dvc program; default: a virtual environment made with pip under the work folder.
--mlp    the mlp program; default: target/release/mlp, built if it is not there.

Prints one Markdown table: CPU seconds (user and system, all child processes) and wall seconds, medians, and ratios.
"""

import argparse
import gzip
import os
import pathlib
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import venv
import zlib

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def read_idx(folder, stem, header):
    for name, opener in ((stem, open), (stem + ".gz", gzip.open)):
        path = folder / name
        if path.exists():
            with opener(path, "rb") as file:
                return file.read()[header:]
    raise SystemExit(f"{folder} has no {stem}")


def png(pixels):
    """A 28x28 8-bit greyscale PNG (PNG specification, third edition)."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + pixels[y * 28 : (y + 1) * 28] for y in range(28))
    header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def write_images(mnist, target):
    count = 0
    for part, stem in (("train", "train"), ("test", "t10k")):
        labels = read_idx(mnist, f"{stem}-labels-idx1-ubyte", 8)
        images = read_idx(mnist, f"{stem}-images-idx3-ubyte", 16)
        for label in range(10):
            (target / part / str(label)).mkdir(parents=True)
        for index, label in enumerate(labels):
            path = target / part / str(label) / f"{index:05}.png"
            path.write_bytes(png(images[index * 784 : (index + 1) * 784]))
            count += 1
    return count


def measure(command, folder, environment):
    """CPU and wall seconds of one finished command with all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


def repository(folder, environment):
    for command in (["git", "init", "-q", "-b", "main"], ["git", "commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(command, cwd=folder, env=environment, check=True)


def one_round(work, images, programs, environment):
    """Every figure of one round: {(tool, operation): (cpu, wall)}."""
    figures = {}
    for tool, program in programs.items():
        folder = work / tool
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        repository(folder, environment)
        if tool == "dvc":
            subprocess.run([program, "init", "-q"], cwd=folder, env=environment, check=True)
            subprocess.run([program, "config", "core.analytics", "false"], cwd=folder, env=environment, check=True)
            add, status = [program, "add", "-q", "data/images"], [program, "status"]
        else:
            subprocess.run([program, "init", ".", "--template", "image-classifier"], cwd=folder, env=environment,
                           check=True, capture_output=True)
            add, status = [program, "data", "add", "images"], [program, "data", "status", "images"]
        shutil.copytree(images, folder / "data/images", dirs_exist_ok=True)
        os.sync()
        time.sleep(2.5)
        figures[tool, "add 70,000 PNG files"] = measure(add, folder, environment)
        time.sleep(2.5)
        measure(status, folder, environment)
        figures[tool, "status, nothing changed"] = measure(status, folder, environment)
    return figures


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mnist", default=os.environ.get("MNIST_DIR"))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--dvc")
    arguments.add_argument("--mlp")
    options = arguments.parse_args()

    mlp = pathlib.Path(options.mlp) if options.mlp else REPOSITORY / "target/release/mlp"
    if not options.mlp:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=REPOSITORY, check=True)
    with tempfile.TemporaryDirectory(prefix="mlp-bench-") as scratch:
        work = pathlib.Path(scratch)
        environment = {**os.environ, "HOME": scratch, "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.org",
                       "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@example.org", "DVC_NO_ANALYTICS": "1"}
        dvc = options.dvc
        if not dvc:
            venv.create(work / "venv", with_pip=True)
            subprocess.run([work / "venv/bin/pip", "install", "-q", "dvc"], check=True)
            dvc = work / "venv/bin/dvc"
        programs = {"mlp": str(mlp.resolve()), "dvc": str(dvc)}

        mnist = options.mnist or REPOSITORY / "../shared/data/mnist"
        if not pathlib.Path(mnist).is_dir():
            print("no MNIST here: timing on synthetic digits", file=sys.stderr)
            project = work / "synthetic"
            subprocess.run([programs["mlp"], "init", "synthetic", "--template", "mnist"], cwd=work, env=environment, check=True)
            text = (project / "mlp.yaml").read_text()
            (project / "mlp.yaml").write_text(text.replace("train: 12000", "train: 60000").replace("test: 2000", "test: 10000"))
            subprocess.run([programs["mlp"], "data", "download"], cwd=project, env=environment, check=True)
            mnist = project / "data/mnist"
        images = work / "images"
        count = write_images(pathlib.Path(mnist), images)
        size = sum(path.stat().st_size for path in images.rglob("*.png"))

        rounds = [one_round(work, images, programs, environment) for _ in range(options.rounds)]
        version = subprocess.run([dvc, "--version"], capture_output=True, text=True, env=environment).stdout.strip()
        print(f"{count:,} files, {size / 1e6:.1f} MB; {options.rounds} rounds in turn, medians; dvc {version}; "
              f"{os.cpu_count()} cores\n")
        print("| operation | mlp CPU s | dvc CPU s | CPU ratio | mlp wall s | dvc wall s | wall ratio |")
        print("|---|---|---|---|---|---|---|")
        for operation in dict.fromkeys(operation for _, operation in rounds[0]):
            median = {(tool, kind): statistics.median(figures[tool, operation][kind] for figures in rounds)
                      for tool in programs for kind in (0, 1)}
            print(f"| {operation} | {median['mlp', 0]:.2f} | {median['dvc', 0]:.2f} "
                  f"| {median['dvc', 0] / median['mlp', 0]:.1f} | {median['mlp', 1]:.2f} | {median['dvc', 1]:.2f} "
                  f"| {median['dvc', 1] / median['mlp', 1]:.1f} |")


if __name__ == "__main__":
    main()
