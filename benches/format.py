#!/usr/bin/env python3
"""Two questions about the format, put to the program itself.

  tensors    what grouping bytes before zstd saves on weights of several kinds
  fragments  what reading a version costs after many small edits, in requests and bytes, against a store that holds it alone

    benches/format.py tensors|fragments [--mlp target/debug/mlp]

Needs Python alone. Prints tables for benches/README.md.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

MIB = 1 << 20


def run(*args, cwd):
    """Runs a command; its stdout and stderr, and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(args, cwd=cwd, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{args}: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, done.stderr, cpu


def project(folder, mlp, far=None):
    run(mlp, "init", "p", "--template", "empty", "--quiet", cwd=folder)
    p = folder / "p"
    if far:
        with open(p / "mlp.yaml", "a") as out:
            out.write(f"stores:\n  far: {{url: 'fs://{far}'}}\n")
    (p / "data").mkdir()
    return p


def weights(kind, count, seed):
    """`count` normal numbers of standard deviation 0.02, as weights of large models are, little-endian."""
    rng = random.Random(seed)
    numbers = [rng.gauss(0, 0.02) for _ in range(count)]
    if kind == "f32":
        return struct.pack(f"<{count}f", *numbers)
    if kind == "f16":
        return struct.pack(f"<{count}e", *numbers)
    if kind == "f64":
        return struct.pack(f"<{count}d", *numbers)
    if kind == "bf16":
        whole = struct.pack(f"<{count}f", *numbers)
        return b"".join(whole[at + 2 : at + 4] for at in range(0, len(whole), 4))
    return bytes(max(-127, min(127, round(n / 0.02 * 40))) & 255 for n in numbers)


def tensors(mlp, scratch):
    samples = [(kind, weights(kind, 4 * MIB, 1)) for kind in ("f32", "bf16", "f16", "f64", "int8")]
    trained = scratch / "trained"
    trained.mkdir()
    run(mlp, "init", "p", "--template", "mnist", "--quiet", cwd=trained)
    data = {"cwd": trained / "p"}
    # The synthetic digits, as examples/mnist does.
    run(mlp, "data", "download", "mnist", **data)
    run(mlp, "data", "add", "mnist", **data)
    run(mlp, "train", "--quiet", **data)
    found = sorted(trained.rglob("*.safetensors"), key=lambda path: path.stat().st_size)
    if found:
        samples.append(("f32, trained here", found[-1].read_bytes()))
    print("| weights | bytes | zstd alone | chosen | saves more | CPU s a GiB, zstd alone | chosen |")
    print("|---|---|---|---|---|---|---|")
    for kind, content in samples:
        row = []
        for name in ("w.bin", "w.safetensors"):
            folder = Path(tempfile.mkdtemp(dir=scratch))
            p = project(folder, mlp)
            (p / "data" / name).write_bytes(content)
            _, _, cpu = run(mlp, "data", "add", "data", cwd=p)
            stats = json.loads(run(mlp, "store", "stats", "--json", cwd=p)[0])
            codec = max(stats["codecs"], key=lambda codec: stats["codecs"][codec])
            row.append((stats["stored"], codec, cpu * (1 << 30) / len(content)))
        (plain, _, plain_cpu), (chosen, codec, chosen_cpu) = row
        print(
            f"| {kind} | {len(content):,} | {plain / len(content):.1%} | {chosen / len(content):.1%} ({codec}) "
            f"| {1 - chosen / plain:.1%} | {plain_cpu:.1f} | {chosen_cpu:.1f} |"
        )


def fragments(mlp, scratch):
    """A file of 256 MiB; each version changes a hundredth of it in 4 KiB pieces, or inserts rows, anywhere."""
    print("| versions | store | packs read | requests for data | bytes read | CPU s |")
    print("|---|---|---|---|---|---|")
    rng = random.Random(7)
    content = bytearray(b"".join(rng.randbytes(16 * MIB) for _ in range(16)))
    many = Path(tempfile.mkdtemp(dir=scratch))
    p = project(many, mlp, many / "far")
    for version in range(1, 31):
        if version > 1:
            for _ in range(655):
                at = rng.randrange(len(content) - 4096)
                content[at : at + 4096] = rng.randbytes(4096)
        (p / "data" / "file").write_bytes(content)
        run(mlp, "data", "add", "data", cwd=p)
        run(mlp, "data", "push", cwd=p)
        if version in (1, 10, 30):
            fetched("many", version, mlp, scratch, p, many / "far")
    alone = Path(tempfile.mkdtemp(dir=scratch))
    q = project(alone, mlp, alone / "far")
    (q / "data" / "file").write_bytes(content)
    run(mlp, "data", "add", "data", cwd=q)
    run(mlp, "data", "push", cwd=q)
    fetched("this version alone", 30, mlp, scratch, q, alone / "far")


def fetched(what, version, mlp, scratch, p, far):
    clone = Path(tempfile.mkdtemp(dir=scratch))
    for name in ("mlp.yaml", "data.mlp"):
        shutil.copy(p / name, clone / name)
    subprocess.run(["git", "init", "-q"], cwd=clone, check=True)
    _, said, cpu = run(mlp, "data", "fetch", "-v", cwd=clone)
    parts = re.findall(r"read part of packs/\S+/(\S+), 0 B up, (\d+) B down", said)
    packs = {pack for pack, _ in parts}
    bytes_read = sum(int(count) for _, count in parts)
    print(
        f"| {version} | {what} | {len(packs)} | {len(parts)} | {bytes_read / MIB:.1f} MiB | {cpu:.2f} |"
    )
    shutil.rmtree(clone)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["tensors", "fragments"])
    parser.add_argument("--mlp", default="target/debug/mlp")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        {"tensors": tensors, "fragments": fragments}[args.question](os.path.abspath(args.mlp), Path(scratch))


if __name__ == "__main__":
    main()
