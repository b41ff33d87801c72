"""Runs of the load generator, and what is counted beside them."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from brokers import ROOT

EVENTS = "raw_syscalls:sys_enter,context-switches"
# So short that nearly only connecting, subscribing and disconnecting is left.
NO_TIME = ["--warmup-ms", "0", "--measure-ms", "1"]


class Runs:
    """All runs of one broker in one scenario."""

    def __init__(self):
        self.lines = []
        # System calls and context switches per delivered message.
        self.counts = []
        self.wrong = 0
        self.failure = None

    def add(self, line):
        if "error" in line:
            self.failure = line["error"].splitlines()[0]
        else:
            self.lines.append(line)
            self.wrong += wrong(line)

    def values(self, key):
        return [line[key] for line in self.lines if line.get(key) is not None]

    def median(self, key):
        values = self.values(key)
        return statistics.median(values) if values else None


def wrong(line):
    """Messages that were lost, doubled or reordered, and connections and subscriptions that failed."""
    keys = ["lost", "dups", "reordered", "gaps", "late", "refused", "errors", "dropped_while_idle", "lost_conns"]
    parts = [part for part in ["base", "full", "hot"] if f"{part}_sent" in line]
    missing = sum(line[f"{part}_sent"] - line[f"{part}_delivered"] for part in parts)
    return sum(line.get(key, 0) for key in keys) + missing


def find_mqload():
    """$MQLOAD, or built from ../shared/bench."""
    if "MQLOAD" in os.environ:
        return os.environ["MQLOAD"]
    source, target = ROOT.parent / "shared/bench", ROOT / "target/bench"
    if not source.exists():
        sys.exit("benches/compare: there is no load generator: set MQLOAD to one")
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path"]
    command += [str(source / "Cargo.toml"), "--target-dir", str(target)]
    subprocess.run(command, check=True)
    return str(target / "release/mqload")


class Load:
    def __init__(self, mqload):
        self.mqload = mqload

    def run(self, name, arguments, broker, port, prefix=()):
        """One run; what the load generator says. What stands later in `arguments` holds."""
        command = [*prefix, self.mqload, "--target", f"127.0.0.1:{port}", "--broker-pid", str(broker.pid)]
        command += ["--broker", name, *merged(["--warmup-ms", "500", "--measure-ms", "2000"], arguments)]
        if name.startswith("relay"):
            command += ["--proto", "raw"]
        try:
            answer = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=300)
        except subprocess.TimeoutExpired:
            return {"error": "no end within five minutes"}
        return json.loads(answer.stdout, strict=False)

    def count(self, name, arguments, broker, port):
        """System calls and context switches per delivered message: those of a run less those of one without
        messages, so that connecting does not count. None where it went wrong."""
        whole = self.counted_run(name, merged(arguments, ["--measure-ms", "1000"]), broker, port)
        empty = self.counted_run(name, merged(arguments, NO_TIME), broker, port)
        if whole is None or empty is None:
            return None
        delivered = whole[0] - empty[0]
        return [(many - few) / delivered for many, few in zip(whole[1:], empty[1:])] if delivered > 0 else None

    def counted_run(self, name, arguments, broker, port):
        """Messages delivered, system calls, and context switches, of a run from beginning to end."""
        with tempfile.NamedTemporaryFile("r") as counts:
            line = self.run(name, arguments, broker, port, perf(counts.name, broker.pid))
            numbers = [row.split(",")[0] for row in counts if "," in row and not row.startswith("#")]
        if "error" in line or not all(number.isdigit() for number in numbers):
            return None
        return [line["delivered"], *map(int, numbers)]


def merged(arguments, later):
    """Arguments of which the later ones replace those before: mqload's are pairs of name and value."""
    pairs = dict(zip(arguments[::2], arguments[1::2])) | dict(zip(later[::2], later[1::2]))
    return [word for pair in pairs.items() for word in pair]


def perf(output, pid):
    return ["perf", "stat", "-x,", "-o", output, "-e", EVENTS, "-p", str(pid), "--"]


def why_no_counts():
    """What keeps system calls from being counted; None where nothing does."""
    if not shutil.which("perf"):
        return "perf is not there"
    with tempfile.NamedTemporaryFile("r") as output:
        command = ["perf", "stat", "-o", output.name, "-e", EVENTS, "true"]
        trial = subprocess.run(command, capture_output=True, check=False)
        text = pathlib.Path(output.name).read_text()
    allowed = trial.returncode == 0 and "<not" not in text
    return None if allowed else "perf may not look at tracepoints here"
