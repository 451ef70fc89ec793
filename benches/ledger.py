#!/usr/bin/env python3
"""What a long ledger costs: `mlp model history` and `mlp audit` on 10,000 signed entries.

    benches/ledger.py [--entries 10000] [--rounds 5] [--mlp PATH] [--work DIR]

Makes a project whose model has a ledger as mlp writes it: of each four entries one registers a version, one approves it, two promote it. Three
of the four are signed (SSHSIG, Ed25519), the approval's record too; a promotion names four or five verdicts. Entries and records are
written by this script, not by mlp, so that making them takes seconds; `mlp audit` then checks them, so that a wrong one ends the run.

--mlp    the mlp program; default: target/debug/mlp.
--work   where everything is written; default: a temporary folder.

Needs the Python packages `blake3` and `cryptography`. Prints Markdown: processor seconds (user and system) and wall seconds of the whole
process, the least and the median of the rounds, and the first round by itself: it verifies what later ones remember.
"""

import argparse
import base64
import datetime
import hashlib
import json
import os
import pathlib
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PROJECT = "01jd3q0000000000000000000b"
MANIFEST = f"""mlp: 1
project: {{name: digits, id: {PROJECT}, profile: research, roles: {{model: [max], service: [sam]}}}}
data: {{mnist: {{path: data/mnist, format: idx}}}}
models:
  digits: {{data: mnist, input: {{shape: [1, 28, 28]}}, network: [flatten, {{linear: 10}}]}}
stages:
  staging: {{gates: {{floor: {{metric: {{name: accuracy, min: 0.9}}}}}}}}
  production: {{gates: {{two_eyes: {{approvals: {{role: service}}}}}}}}
"""


def digest(data):
    return "b3:" + blake3(data).hexdigest()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def string(data):
    return struct.pack(">I", len(data)) + data


class Signer:
    """A person with a fresh key."""

    def __init__(self, name):
        self.name, self.key = name, Ed25519PrivateKey.generate()
        raw = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = string(b"ssh-ed25519") + string(raw)

    def line(self):
        return f"{self.name} ssh-ed25519 {base64.b64encode(self.public).decode()}\n"

    def sign(self, data, namespace):
        """PROTOCOL.sshsig of OpenSSH."""
        parts = string(namespace) + string(b"") + string(b"sha512")
        signed = self.key.sign(b"SSHSIG" + parts + string(hashlib.sha512(data).digest()))
        blob = b"SSHSIG" + struct.pack(">I", 1) + string(self.public) + parts + string(string(b"ssh-ed25519") + string(signed))
        text = base64.b64encode(blob).decode()
        lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
        return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n"


class Project:
    """The project, its records and its ledger."""

    def __init__(self, folder):
        self.folder = folder
        self.max, self.sam = Signer("max"), Signer("sam")
        (folder / ".mlp").mkdir(parents=True)
        (folder / "mlp.yaml").write_text(MANIFEST)
        (folder / ".mlp/allowed_signers").write_text(self.max.line() + self.sam.line())
        self.environment = {
            **os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / ".xdg"), "GIT_CONFIG_NOSYSTEM": "1", "NO_COLOR": "1",
            "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "Begin"]):
            subprocess.run(["git", *words], cwd=folder, env=self.environment, check=True)
        self.store = folder / ".git/mlp/store"
        self.ledger = self.store / "ledger" / PROJECT / blake3(b"digits").hexdigest()[:16]
        self.ledger.mkdir(parents=True)
        self.seq, self.last = 0, None
        self.clock = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)

    def time(self):
        return self.clock.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def record(self, kind, body, inputs=(), signer=None, timeless=False):
        value = {"schema": "mlp/record/1", "kind": kind}
        if not timeless:
            value |= {"time": self.time(), "author": "Ada <ada@example.org>"}
        if inputs:
            value["inputs"] = list(inputs)
        value["body"] = body
        if signer:
            value["signature"] = signer.sign(compact(value), b"mlp-approval")
        data = compact(value)
        id = digest(data)
        path = self.store / "records" / id[3:5] / id[3:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return id

    def entry(self, kind, subject, evidence, signer=None):
        self.seq += 1
        self.clock += datetime.timedelta(minutes=5)
        value = {"schema": "mlp/ledger/1", "seq": self.seq}
        if self.last:
            value["prev"] = self.last
        actor = signer.name if signer else "Ada <ada@example.org>"
        value |= {"op": ulid(self.seq), "time": self.time(), "actor": actor, "kind": kind, "subject": subject, "evidence": evidence}
        if signer:
            value["signature"] = signer.sign(compact(value), b"mlp-ledger")
        data = compact(value)
        self.last = digest(data)
        (self.ledger / f"{self.seq:020}").write_bytes(data + f"\n{self.last}\n".encode())

    def version(self, number):
        tree = digest(f"tree {number}".encode())
        end = {"state": "succeeded", "code": 0, "started": self.time(), "ended": self.time(), "attempts": 1}
        run = self.record("run", {
            "run": ulid(number), "name": "digits", "task": "model", "plan": digest(b"plan"), "git": {"commit": "0" * 40}, "data": {},
            "config": {}, "device": "cpu", "binary": digest(b"binary"), "host": "here", "end": end, "metrics": {"val.accuracy": 0.97},
            "outputs": {"model": tree},
        })
        about = {"model": "digits", "version": number, "tree": tree}
        self.entry("register", {**about, "run": run, "commit": "0" * 40}, [run])
        body = {**about, "stage": "production", "principal": "sam", "comment": "looked at the confusion matrix"}
        approval = self.record("approval", body, [tree], self.sam)
        self.entry("approve", {**about, "stage": "production"}, [approval], self.sam)

        def verdict(stage, gate, rule, wanted, observed, inputs):
            body = {**about, "stage": stage, "gate": gate, "rule": rule, "verdict": "pass", "wanted": wanted, "observed": observed}
            return self.record("verdict", body, inputs, timeless=True)

        verdicts = [
            verdict("staging", "code", {"code": "committed"}, "the code is committed", "0000000", [run]),
            verdict("staging", "expectations-mnist", {"expectations": "mnist"}, "`mnist` meets its expectations", "all met", []),
            verdict("staging", "leakage-mnist", {"leakage": "mnist"}, "no overlap", "0 of 70000", []),
            verdict("staging", "floor", {"metric": {"name": "accuracy", "min": 0.9}}, "accuracy on test at least 0.9", "0.9712", []),
        ]
        self.entry("promote", {**about, "stage": "staging"}, verdicts, self.max)
        verdicts.append(verdict(
            "production", "two_eyes", {"approvals": {"role": "service"}}, "signed approvals: 1 by service", "1 of 1: sam", [approval]
        ))
        self.entry("promote", {**about, "stage": "production"}, verdicts, self.max)


def ulid(number):
    letters, text = "0123456789abcdefghjkmnpqrstvwxyz", ""
    for _ in range(16):
        number, rest = divmod(number, 32)
        text = letters[rest] + text
    return "01jd3q0000" + text


def cost(command, project):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{command} failed:\n{done.stdout.decode()[-3000:]}{done.stderr.decode()[-3000:]}")
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), wall


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--mlp", type=pathlib.Path, default=REPOSITORY / "target/debug/mlp")
    arguments.add_argument("--work", type=pathlib.Path)
    options = arguments.parse_args()
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="mlp-ledger-"))
    project = Project(work / "project")
    for number in range(1, options.entries // 4 + 1):
        project.version(number)
    program = str(options.mlp.resolve())
    print(f"{project.seq} entries, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n", file=sys.stderr)
    print("| | CPU s: first | least | median | wall s: first | least | median |\n|---|---|---|---|---|---|---|")
    for words in (["audit"], ["model", "history"], ["model", "history", "--json"], ["model", "history", "--at", "2026-01-15"], ["model", "ls"]):
        figures = [cost([program, *words], project) for _ in range(options.rounds + 1)]
        row = []
        for kind in (0, 1):
            first, *rest = (figure[kind] for figure in figures)
            row += [f"{first:.3f}", f"{min(rest):.3f}", f"{statistics.median(rest):.3f}"]
        print(f"| `mlp {' '.join(words)}` | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
