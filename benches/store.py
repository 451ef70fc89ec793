#!/usr/bin/env python3
"""mlp's store beside restic, git-lfs and DVC: the same operations in turn in one run, on the same machine.

    benches/store.py [--only images,insert,large,million] [--rounds N] [--peers restic,dvc,lfs] [--mnist DIR] [--mlp PATH] [--work DIR]

images   70,000 MNIST images as PNG files, a folder per part and class: add, status, push to a folder, push again, fetch and
         checkout into an empty clone, one file changed (add and push)
insert   a file of 512 MiB, then with one byte put in front: bytes that the store grows by
large    a file of 4 GiB of noise: add, beside a program that reads it, hashes it (BLAKE3) and writes it once
million  1,000,000 small files: add and status

--mnist  folder of the four IDX files (plain or .gz); default $MNIST_DIR, else ../shared/data/mnist; without either
         the same number of synthetic digits is used (and said so).
--mlp    the mlp program; default: target/release/mlp, built if it is not there.
--dvc    the dvc program; default: the one on PATH, else a virtual environment made with pip under the work folder.
--work   where everything is written (10 GB for `large`); default: a temporary folder.

Prints Markdown: CPU seconds (user and system, with all children), wall seconds, peak memory (MB, of the largest process),
and how many files and bytes the store or the remote gained; the least peak that can be seen is 10 MB. Medians of the rounds. A peer that is not there is named.
Restic keeps everything in one repository, so its `backup` stands for add and push together. git-lfs pushes to a bare repository
through its own file transport. DVC uses hard links from its cache (`cache.type hardlink`), its fastest setting.
"""

import argparse
import collections
import contextlib
import gzip
import json
import os
import pathlib
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
Cost = collections.namedtuple("Cost", "cpu wall peak files bytes note")


# ---- measuring

# Starts a program and tells what it took, from a small process: Linux counts the memory of whoever starts a program as its own.
LAUNCH = """
import os, sys, time
start = time.monotonic()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as told:
    print(status, usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss, file=told)
"""


class Bench:
    """A work folder, an environment for all programs, and every figure: {(operation, tool): [Cost]}."""

    def __init__(self, work, programs):
        self.work, self.programs, self.figures = work, programs, collections.defaultdict(list)
        self.environment = {
            **os.environ, "HOME": str(work), "GIT_CONFIG_NOSYSTEM": "1", "DVC_NO_ANALYTICS": "1", "RESTIC_PASSWORD": "bench",
            "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.org", "GIT_COMMITTER_NAME": "bench",
            "GIT_COMMITTER_EMAIL": "bench@example.org", "RESTIC_CACHE_DIR": str(work / "restic-cache"), "NO_COLOR": "1",
            # 70,000 loose objects of git-lfs' pointers: git would begin to pack them behind our back.
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "gc.auto", "GIT_CONFIG_VALUE_0": "0",
        }

    def run(self, folder, *command):
        """The output of a command that is not timed."""
        done = subprocess.run([str(word) for word in command], cwd=folder, env=self.environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def cost(self, folder, *command):
        """CPU seconds, wall seconds, peak memory in bytes and output of one command with all its children."""
        with tempfile.TemporaryFile("w+") as out, tempfile.NamedTemporaryFile("r") as told:
            launch = [sys.executable, "-I", "-S", "-c", LAUNCH, told.name, *(str(word) for word in command)]
            subprocess.run(launch, cwd=folder, env=self.environment, stdout=out, stderr=subprocess.STDOUT, check=True)
            out.seek(0)
            text = out.read()
            status, cpu, wall, peak = told.read().split()
        if status != "0":
            raise SystemExit(f"{command} failed:\n{text[-3000:]}")
        return float(cpu), float(wall), int(peak) * 1024, text

    def note(self, operation, tool, commands, folder, store=None):
        """Times commands, one after the other, as one figure; `store` is the folder whose growth counts."""
        before = inventory(store)
        costs = [self.cost(folder, *command) for command in commands]
        after = inventory(store)
        text = costs[-1][3]
        requests = json.loads(text.splitlines()[-1]).get("requests") if '"requests"' in text else None
        figure = Cost(sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), max(cost[2] for cost in costs),
                      after[0] - before[0], after[1] - before[1], f"{requests} requests" if requests is not None else "")
        self.figures[operation, tool].append(figure)
        print(f"{operation:42} {tool:9} {figure.cpu:7.2f} CPU s {figure.wall:7.2f} s {figure.peak / 1e6:7.0f} MB", file=sys.stderr)
        return figure


def inventory(folder):
    """Number of files below a folder and the sum of their sizes."""
    files = [path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file()] if folder else []
    return len(files), sum(files)


def settle():
    """Files younger than two seconds are read again by every tool that is careful: let them age, and the disk be quiet."""
    os.sync()
    time.sleep(2.5)


# ---- the tools: each makes a project around a folder of data and says how its verbs are called


class Mlp:
    def __init__(self, bench, folder):
        self.bench, self.program, self.folder, self.store = bench, bench.programs["mlp"], folder, folder / ".git/mlp/store"
        self.remote, self.data = folder.parent / "remote", folder / "data/set"
        bench.run(bench.work, "git", "init", "-q", "-b", "main", folder)
        (folder / "mlp.yaml").write_text(
            f"mlp: 1\nproject: {{name: bench, id: 01jd3q0000000000000000000c}}\nstores:\n  far: {{url: \"fs://{self.remote}\"}}\n"
            "data:\n  set: {path: data/set, format: images}\n")
        self.add, self.status = [self.program, "data", "add", "set"], [self.program, "data", "status", "set"]
        self.push = [[self.program, "data", "push", "--json"]]

    def clone(self, target):
        self.bench.run(self.folder, "git", "add", "-A")
        self.bench.run(self.folder, "git", "commit", "-qm", "data")
        self.bench.run(self.bench.work, "git", "clone", "-q", self.folder, target)
        return [[self.program, "data", "fetch"], [self.program, "data", "checkout"]]


class Dvc:
    def __init__(self, bench, folder):
        self.bench, self.program, self.folder, self.store = bench, bench.programs["dvc"], folder, folder / ".dvc/cache"
        self.remote, self.data = folder.parent / "remote", folder / "data/set"
        bench.run(bench.work, "git", "init", "-q", "-b", "main", folder)
        bench.run(folder, self.program, "init", "-q")
        for setting in (["core.analytics", "false"], ["cache.type", "hardlink"]):
            bench.run(folder, self.program, "config", *setting)
        bench.run(folder, self.program, "remote", "add", "-q", "-d", "far", self.remote)
        self.add, self.status = [self.program, "add", "-q", "data/set"], [self.program, "status", "-q"]
        self.push = [[self.program, "push", "-q"]]

    def clone(self, target):
        self.bench.run(self.folder, "git", "add", "-A")
        self.bench.run(self.folder, "git", "commit", "-qm", "data")
        self.bench.run(self.bench.work, "git", "clone", "-q", self.folder, target)
        return [[self.program, "pull", "-q"]]


class Restic:
    def __init__(self, bench, folder):
        self.bench, self.folder, self.store = bench, folder, folder.parent / "remote"
        self.remote, self.data, self.push = self.store, folder / "data/set", []
        folder.mkdir(parents=True)
        self.program = [bench.programs["restic"], "-q", "-r", self.store]
        bench.run(folder, *self.program, "init")
        self.add = [*self.program, "backup", "data/set"]
        # The nearest thing: look whether anything changed, against the newest snapshot, and write nothing.
        self.status = [*self.program, "backup", "--dry-run", "data/set"]

    def clone(self, target):
        target.mkdir()
        return [[*self.program, "restore", "latest", "--target", target]]


class Lfs:
    def __init__(self, bench, folder):
        self.bench, self.folder, self.store = bench, folder, folder / ".git/lfs"
        self.remote, self.data = folder.parent / "remote.git", folder / "data/set"
        bench.run(bench.work, "git", "init", "-q", "--bare", "-b", "main", self.remote)
        bench.run(bench.work, "git", "init", "-q", "-b", "main", folder)
        bench.run(folder, "git", "lfs", "install", "--local")
        bench.run(folder, "git", "lfs", "track", "data/**")
        bench.run(folder, "git", "remote", "add", "origin", f"file://{self.remote}")
        self.add, self.status = ["git", "add", "-A"], ["git", "status", "-s"]
        self.push = [["git", "commit", "-qm", "data"], ["git", "push", "-q", "origin", "main"]]

    def clone(self, target):
        filters = ["-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.process=git-lfs filter-process",
                   "-c", "filter.lfs.required=true"]
        return [["git", *filters, "clone", "-q", f"file://{self.remote}", target]]


TOOLS = {"mlp": Mlp, "restic": Restic, "dvc": Dvc, "lfs": Lfs}


@contextlib.contextmanager
def project(bench, tool, keep=False):
    """A fresh project of a tool, with nothing in it and an empty store; removed at the end, unless it is kept until all is done: for
    minutes after thousands of files were removed, ext4 looks at their inodes again and again whenever it makes new ones."""
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"{tool}-", dir=bench.work))
    yield TOOLS[tool](bench, place / "project")
    if not keep:
        shutil.rmtree(place)


# ---- what is done


def images(bench, options):
    source = bench.work / "images"
    if not source.exists():
        write_images(mnist(bench, options), source)
    for tool in bench.programs:
        with project(bench, tool, keep=True) as at:
            shutil.copytree(source, at.data)
            settle()
            bench.note("add 70,000 PNG files", tool, [at.add], at.folder, at.store)
            settle()
            bench.run(at.folder, *at.status)
            bench.note("status, nothing changed", tool, [at.status], at.folder)
            if at.push:
                bench.note("push to a folder", tool, at.push, at.folder, at.remote)
                bench.note("push again, nothing new", tool, at.push[-1:], at.folder, at.remote)
            clone = at.folder.parent / "clone"
            commands = at.clone(clone)
            settle()
            bench.note("fetch and checkout into an empty clone", tool, commands, clone if clone.exists() else at.folder)
            found = inventory(next(path for path in clone.rglob("data/set") if path.is_dir()))
            if found != inventory(at.data):
                raise SystemExit(f"{tool} restored {found}, not {inventory(at.data)}")
            changed = at.data / "train/3/00007.png"
            if changed.exists():
                changed.unlink()  # never write through a hard link
            changed.write_bytes(png(bytes(range(256)) * 3 + bytes(16)))
            settle()
            bench.note("one file changed: add and push", tool, [at.add, *at.push], at.folder, at.remote)


def insert(bench, options):
    for tool in bench.programs:
        with project(bench, tool) as at:
            at.data.mkdir(parents=True)
            noise(at.data / "file.bin", 512 << 20)
            settle()
            bench.note("add 512 MiB", tool, [at.add], at.folder, at.store)
            with open(at.data / "file.bin", "rb") as old, open(at.data / "longer", "wb") as new:
                new.write(b"x")
                shutil.copyfileobj(old, new, 1 << 20)
            os.replace(at.data / "longer", at.data / "file.bin")
            settle()
            bench.note("512 MiB with one byte put in front: add", tool, [at.add], at.folder, at.store)


def large(bench, options):
    source, copy = bench.work / "large.bin", bench.work / "large.copy"
    noise(source, 4 << 30)
    for tool in [tool for tool in bench.programs if tool in ("mlp", "restic")]:
        with project(bench, tool) as at:
            at.data.mkdir(parents=True)
            os.link(source, at.data / "file.bin")
            settle()
            bench.note("add 4 GiB of noise", tool, [at.add], at.folder, at.store)
    python = next((str(path) for path in (REPOSITORY / "target/reader/bin/python", pathlib.Path(sys.executable))
                   if path.exists() and subprocess.run([path, "-c", "import blake3"], capture_output=True).returncode == 0), None)
    if python:
        settle()
        bench.note("add 4 GiB of noise", "yardstick", [[python, __file__, "--yardstick", source, copy]], bench.work)
        copy.unlink()
    else:
        print("no yardstick: no Python with blake3 (tests/setup.sh makes one)", file=sys.stderr)
    source.unlink()


def yardstick(source, target):
    """Reads, hashes with BLAKE3 and writes a file once, in one thread, and waits for the disk: the least any store must do."""
    import blake3

    hasher, buffer = blake3.blake3(), bytearray(8 << 20)
    with open(source, "rb", buffering=0) as read, open(target, "wb", buffering=0) as write:
        while count := read.readinto(buffer):
            view = memoryview(buffer)[:count]
            hasher.update(view)
            write.write(view)
        os.fsync(write.fileno())


def million(bench, options):
    with project(bench, "mlp") as at:
        for folder in range(1000):
            path = at.data / f"{folder:03}"
            path.mkdir(parents=True)
            for n in range(1000):
                (path / f"{n:03}.txt").write_text(f"{folder} {n} {folder * n * 7919 % 1000003}\n" * 4)
        settle()
        bench.note("add 1,000,000 small files", "mlp", [at.add], at.folder, at.store)
        settle()
        bench.run(at.folder, *at.status)
        bench.note("status of 1,000,000 files", "mlp", [at.status], at.folder)


# ---- data


def noise(path, size):
    """A file of reproducible bytes that no compressor shortens."""
    import random

    source = random.Random(7)
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(source.randbytes(1 << 20))


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


def mnist(bench, options):
    """The folder of the IDX files; synthetic ones where there are none."""
    folder = pathlib.Path(options.mnist or os.environ.get("MNIST_DIR") or REPOSITORY / "../shared/data/mnist")
    if folder.is_dir():
        return folder
    print("no MNIST here: timing on synthetic digits", file=sys.stderr)
    project = bench.work / "synthetic"
    bench.run(bench.work, bench.programs["mlp"], "init", "synthetic", "--template", "mnist")
    text = (project / "mlp.yaml").read_text()
    (project / "mlp.yaml").write_text(text.replace("train: 12000", "train: 60000").replace("test: 2000", "test: 10000"))
    bench.run(project, bench.programs["mlp"], "data", "download")
    return project / "data/mnist"


# ---- the run


def table(bench):
    """The figures as Markdown, medians of the rounds; a ratio over 1 says how many times more a peer needs."""
    lines = ["| operation | tool | CPU s | ratio | wall s | peak MB | files gained | bytes gained | |", "|---|---|---|---|---|---|---|---|---|"]
    for (operation, tool), costs in bench.figures.items():
        middle = Cost(*(statistics.median(cost[at] for cost in costs) for at in range(5)), costs[-1].note)
        own = bench.figures.get((operation, "mlp"))
        ratio = middle.cpu / max(statistics.median(cost.cpu for cost in own), 0.01) if own else 0
        gained = (f"{middle.files:,.0f}", f"{middle.bytes:,.0f}") if middle.bytes else ("", "")
        lines.append(f"| {operation} | {tool} | {middle.cpu:.2f} | {ratio:.1f} | {middle.wall:.2f} | {middle.peak / 1e6:.0f} "
                     f"| {gained[0]} | {gained[1]} | {middle.note} |")
    return "\n".join(lines)


def programs(options, work):
    """The programs to compare, those that are not there named."""
    mlp = pathlib.Path(options.mlp) if options.mlp else REPOSITORY / "target/release/mlp"
    if not options.mlp:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=REPOSITORY, check=True)
    found = {"mlp": str(mlp.resolve())}
    for peer in [peer for peer in options.peers.split(",") if peer]:
        path = {"restic": shutil.which("restic"), "lfs": shutil.which("git-lfs"), "dvc": options.dvc or shutil.which("dvc")}[peer]
        if peer == "dvc" and not path:
            venv.create(work / "venv", with_pip=True)
            subprocess.run([work / "venv/bin/pip", "install", "-q", "dvc"], check=True)
            path = work / "venv/bin/dvc"
        if path:
            found[peer] = str(path)
        else:
            print(f"`{peer}` is not here and left out\n")
    return found


def main():
    if sys.argv[1:2] == ["--yardstick"]:
        return yardstick(*sys.argv[2:])
    operations = {"images": images, "insert": insert, "large": large, "million": million}
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", default=",".join(operations))
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--peers", default="restic,dvc,lfs")
    for name in ("--mnist", "--mlp", "--dvc", "--work"):
        arguments.add_argument(name)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlp-bench-", dir=options.work) as scratch:
        work = pathlib.Path(scratch).resolve()
        bench = Bench(work, programs(options, work))
        for _ in range(options.rounds):
            for name in options.only.split(","):
                operations[name](bench, options)
        versions = [bench.run(work, bench.programs[peer], *words).splitlines()[0] for peer, words in
                    (("mlp", ["--version"]), ("restic", ["version"]), ("dvc", ["--version"]), ("lfs", ["version"]))
                    if peer in bench.programs]
        print(f"{options.rounds} rounds in turn, medians; {'; '.join(versions)}; {os.cpu_count()} cores\n")
        print(table(bench))


if __name__ == "__main__":
    main()
