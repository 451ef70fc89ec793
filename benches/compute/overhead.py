#!/usr/bin/env python3
"""What a supervisor adds to a training, and what a host adds to that.

    benches/compute/overhead.py [--rounds N] [--epochs N] [--mlp PATH] [--work DIR]

The same training in turn, so many rounds: by the worker alone (`mlp agent work` on a copied job folder, nobody watches or follows), by
`mlp train` (a supervisor watches over it and the terminal follows it), and by `mlp train --on` a host on loopback that has mlp, data and
code already. Once of --epochs epochs of the template `mnist`, once of one epoch of a network so small that hardly anything but the
cost of a run is left.

Wall seconds and CPU seconds of all processes, the supervisor and what sshd started among them. On a machine that does other things the
least of the rounds says most. The host is an sshd of our own; nothing of ~/.ssh is used.

--mlp    the mlp program; default: target/release/mlp, built if it is not there.
--work   where everything is written; default: a temporary folder.
"""

import argparse
import ctypes
import json
import os
import pathlib
import pwd
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
PR_SET_CHILD_SUBREAPER = 36


def children():
    return {int(pid) for pid in pathlib.Path("/proc/self/task", str(os.getpid()), "children").read_text().split()}


class Bench:
    """A project, a host, and the job folder of a training that the worker is started on."""

    def __init__(self, mlp, work):
        self.mlp, self.work, self.before = mlp, work, set()
        # Whatever a training leaves running becomes a child of this process, which then knows what it took.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MLP_")},
            "HOME": str(work),
            "XDG_CONFIG_HOME": str(work / "config"),
            "XDG_CACHE_HOME": str(work / "cache"),
            "MLP_SSH_CONFIG": str(work / "ssh_config"),
        }
        self.project = work / "digits"

    def run(self, *args, cwd=None, quiet=True):
        output = subprocess.PIPE if quiet else None
        done = subprocess.run([self.mlp, *args], cwd=cwd or self.project, env=self.environ, stdout=output, stderr=output, text=True)
        if done.returncode != 0:
            raise SystemExit(f"mlp {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def timed(self, args, cwd):
        """Wall and CPU seconds of a command and all that it starts."""
        before, begun = os.times(), time.monotonic()
        child = subprocess.Popen([self.mlp, *args], cwd=cwd, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = child.stderr.read()
        if child.wait() != 0:
            raise SystemExit(f"mlp {' '.join(args)}: {said.decode()}")
        wall = time.monotonic() - begun
        while children() - self.before:
            os.wait()
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return wall, cpu

    def host(self):
        """An sshd on loopback, the host `h1`."""
        work = self.work
        for key in ["host", "user"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", work / key], check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shutil.copy(work / "user.pub", work / "authorized_keys")
        (work / "known_hosts").write_text(f"[127.0.0.1]:{port} {(work / 'host.pub').read_text()}")
        (work / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {work}/host\nAuthorizedKeysFile {work}/authorized_keys\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nStrictModes no\n"
            "UsePAM no\nPidFile none\n"
        )
        (work / "ssh_config").write_text(
            f"Host h1\n HostName 127.0.0.1\n Port {port}\n User {pwd.getpwuid(os.getuid()).pw_name}\n IdentityFile {work}/user\n"
            f" IdentitiesOnly yes\n IdentityAgent none\n UserKnownHostsFile {work}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        )
        if os.getuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        with open(work / "sshd.log", "w") as log:
            server = subprocess.Popen([sshd, "-D", "-e", "-f", work / "sshd_config"], stderr=log)
        while socket.socket().connect_ex(("127.0.0.1", port)) != 0:
            time.sleep(0.05)
        self.before = {server.pid}
        begun = time.monotonic()
        self.run("host", "add", "h1", "--root", str(work / "host-folder"))
        print(f"mlp ({os.path.getsize(self.mlp) / 1e6:.0f} MB) was brought to the host in {time.monotonic() - begun:.2f} s.\n")
        return server

    def bare(self, number):
        """The newest job again, by its worker alone."""
        jobs = self.project / ".git/mlp/jobs"
        newest = max(path for path in jobs.iterdir() if (path / "spec.json").exists() and not (path / "host.json").exists())
        job = self.work / f"bare-{number}"
        for name in ["ckpt", "out"]:
            (job / name).mkdir(parents=True)
        for name in ["spec.json", "params.json"]:
            shutil.copy(newest / name, job)
        (job / "attempt").write_text("1\n")
        # Its store is beside the folder of all jobs.
        took = self.timed(["agent", "work", str(job)], json.loads((job / "spec.json").read_text())["cwd"])
        shutil.rmtree(job)
        return took

    def rounds(self, count, model):
        ways = {
            "worker alone": lambda number: self.bare(number),
            "mlp train": lambda _: self.timed(["train", model, "--force"], self.project),
            "mlp train --on a host": lambda _: self.timed(["train", model, "--force", "--on", "h1"], self.project),
        }
        # Warms both places; the newest job here is then one of this model.
        ways["mlp train --on a host"](0)
        ways["mlp train"](0)
        return {way: list(rounds) for way, rounds in zip(ways, zip(*([go(n) for go in ways.values()] for n in range(count))))}


def table(title, took):
    print(f"### {title}\n\n| | wall s: least | median | CPU s: least | median | rounds, wall s |\n|---|---|---|---|---|---|")
    for way, rounds in took.items():
        wall, cpu = zip(*rounds)
        figures = [min(wall), statistics.median(wall), min(cpu), statistics.median(cpu)]
        print(f"| {way} | " + " | ".join(f"{figure:.2f}" for figure in figures) + f" | {', '.join(f'{one:.2f}' for one in wall)} |")
    def least(way, what):
        return min(one[what] for one in took[way])
    names = list(took)
    for one, other in zip(names, names[1:]):
        wall, cpu = (least(other, what) - least(one, what) for what in (0, 1))
        print(
            f"\n{other} beside {one}, by the least: {wall:+.2f} s ({100 * wall / least(one, 0):+.1f} %), "
            f"CPU {cpu:+.2f} s ({100 * cpu / least(one, 1):+.1f} %)"
        )
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--mlp", type=pathlib.Path, default=REPOSITORY / "target/release/mlp")
    parser.add_argument("--work", type=pathlib.Path)
    args = parser.parse_args()
    if not args.mlp.exists():
        subprocess.run(["cargo", "build", "--release"], cwd=REPOSITORY, check=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or pathlib.Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(args.mlp.resolve(), work)
        bench.run("init", "digits", "--template", "mnist", cwd=work)
        manifest = bench.project / "mlp.yaml"
        text = manifest.read_text().replace("epochs: 5", f"epochs: {args.epochs}")
        small = "  small:\n    data: mnist\n    network: [flatten, {linear: 10}]\n    train: {epochs: 1, batch_size: 256, seed: 1, optimizer: {sgd: {lr: 0.1}}}\n"
        manifest.write_text(text.replace("\nmodels:\n", "\nmodels:\n" + small))
        bench.run("data", "download", "mnist")
        bench.run("data", "add", "mnist")
        server = bench.host()
        try:
            print(f"{args.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors at the beginning\n")
            table("A run of next to nothing", bench.rounds(args.rounds, "small"))
            table(f"{args.epochs} epochs of the template `mnist`", bench.rounds(args.rounds, "digits"))
        finally:
            server.kill()


main()
