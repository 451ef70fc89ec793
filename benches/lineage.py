#!/usr/bin/env python3
"""How long `mlp why` and `mlp impact` take in a project with many records.

    target/reader/bin/python benches/lineage.py [MLP] [RUNS]

Makes a project with RUNS trainings (5,000 if left out) of a hundred versions of data, each with an evaluation, and a ledger of one
version per ten runs; writes the records as their format says, without mlp. Then it times the commands. `tests/setup.sh` makes the
interpreter, which has BLAKE3.
"""
import hashlib, json, os, pathlib, resource, subprocess, sys, tempfile, time

from blake3 import blake3

MLP = sys.argv[1] if len(sys.argv) > 1 else "target/release/mlp"
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 5000
PROJECT = "01jd3q0000000000000000000b"
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def digest(data):
    return "b3:" + blake3(data).hexdigest()


def ulid(number):
    text, value = "", (1_700_000_000_000 + number) << 80 | number
    for _ in range(26):
        text, value = ALPHABET[value & 31] + text, value >> 5
    return text


def stamp(number):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_700_000_000 + number)) + ".000Z"


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        environment = {**os.environ, "HOME": folder, "NO_COLOR": "1"}
        (root / "mlp.yaml").write_text(
            f"mlp: 1\nproject: {{name: many, id: {PROJECT}, profile: research}}\n"
            "data: {set: {path: data/set, format: idx}}\n"
            "models: {digits: {data: set, input: {shape: [1, 28, 28]}, network: [flatten, {linear: 10}]}}\n"
            "stages: {production: {}}\n"
        )
        git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Begin"]):
            subprocess.run(git + args, cwd=root, check=True, env=environment)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
        subprocess.run([MLP, "model", "ls"], cwd=root, check=True, env=environment, capture_output=True)
        store = root / ".git/mlp/store"
        (store / "pins").mkdir(exist_ok=True)
        count = 0

        def file(kind, body, number, inputs=()):
            nonlocal count
            record = {"schema": "mlp/record/1", "kind": kind, "time": stamp(number), "author": "Ada <ada@example.org>"}
            if inputs:
                record["inputs"] = list(inputs)
            record["body"] = body
            data = json.dumps(record, separators=(",", ":")).encode()
            name = digest(data)[3:]
            place = store / "records" / name[:2]
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
            count += 1
            pin = {"schema": "mlp/pin/1", "id": ulid(count), "kind": {"record": kind}, "name": "digits", "records": ["b3:" + name]}
            (store / "pins" / f"{ulid(count)}.json").write_text(json.dumps(pin, separators=(",", ":")))
            return "b3:" + name

        ledger = store / "ledger" / PROJECT / blake3(b"digits").hexdigest()[:16]
        ledger.mkdir(parents=True)
        before, versions = None, 0
        for number in range(RUNS):
            data, tree = digest(b"data %d" % (number % 100)), digest(b"model %d" % number)
            end = {"state": "succeeded", "code": 0, "started": stamp(number), "ended": stamp(number), "attempts": 1}
            body = {
                "run": ulid(number), "name": "digits", "task": "model", "plan": digest(b"plan %d" % number),
                "git": {"commit": commit, "branch": "main"}, "data": {"set": data},
                "config": {"config": {"model": {"train": {"epochs": 3}}}}, "seed": number, "device": "cpu",
                "binary": digest(b"binary"), "host": "here", "end": end, "metrics": {"val.accuracy": 0.9},
                "outputs": {"model": tree},
            }
            run = file("run", body, number, [data])
            metrics = {name: {"value": 0.9, "lower": 0.8, "upper": 0.95} for name in ("accuracy", "ece", "macro_f1")}
            slices = [{"by": "label", "value": str(n), "examples": 10, "metrics": metrics} for n in range(10)]
            body = {
                "model": tree, "data": "set", "tree": data, "settings": digest(b"settings"), "part": "test", "examples": 100,
                "metrics": metrics, "slices": slices, "predictions": digest(b"predictions %d" % number),
            }
            file("evaluation", body, number, [tree, data])
            if number % 10 == 0:
                versions += 1
                entry = {"schema": "mlp/ledger/1", "seq": versions}
                if before:
                    entry["prev"] = before
                entry |= {
                    "op": ulid(number), "time": stamp(number), "actor": "Ada <ada@example.org>", "kind": "register",
                    "subject": {"model": "digits", "version": versions, "tree": tree, "run": run, "commit": commit},
                    "evidence": [run],
                }
                text = json.dumps(entry, separators=(",", ":")).encode()
                (ledger / f"{versions:020}").write_bytes(text + f"\n{digest(text)}\n".encode())
                before = digest(text)
        print(f"{count} records, {versions} versions")
        wanted = digest(b"data 7")
        for args in (["why", "digits@100"], ["why", run[:15]], ["impact", wanted[:15]], ["impact", commit[:10]], ["model", "show", "digits@100"]):
            best = None
            for _ in range(3):
                begun, used = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
                done = subprocess.run([MLP, *args], cwd=root, env=environment, capture_output=True, text=True)
                wall, after = time.time() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
                assert done.returncode == 0, done.stderr
                cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
                best = min(best or (cpu, wall), (cpu, wall))
            print(f"mlp {' '.join(args):24} {best[0] * 1000:7.0f} ms CPU {best[1] * 1000:7.0f} ms wall, {len(done.stdout.splitlines())} lines")


main()
