"""Which brokers there are, and how each is started."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLUGINS = ROOT / "plugins/target/tidegate"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tidegate-benches"
# Name, and the plugin that a tidegate runs with.
TIDEGATES = {
    "tidegate": None,
    "tidegate+topic-only": "topic-only",
    "tidegate+reads-payload": "reads-payload",
    "tidegate+cached-authorizer": "cached-authorizer",
    "tidegate+payload-filter": "payload-filter",
    "tidegate+300-elsewhere": "topic-only",
}
# Name, and what stands in the section [storage] beside its place.
DURABLE = {
    "tidegate+always": 'durability = "always"',
    "tidegate+interval": 'durability = "interval"',
    "tidegate+none": 'durability = "none"',
    # In the database of $TIDEGATE_BENCH_MYSQL, a URL.
    "tidegate+mysql": 'durability = "always"',
}
TIDEGATES.update({name: None for name in DURABLE})
PEERS = ["mosquitto", "mosquitto+persistence", "rumqttd", "aedes", "relay-epoll", "relay-tokio"]
# As mqload has it: each message is no JSON, so that a filter has to look and let it pass.
FILTER_SETTINGS = """
[[plugin.settings.rules]]
topics = ["#"]
drop = ["secret"]
on-invalid-json = "pass"
"""
RUMQTTD_CONFIG = """
id = 0
[router]
id = 0
max_connections = 19000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "bench"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 65000
dynamic_filters = true
"""
AEDES_STARTER = """
import { createServer } from 'node:net'
const { Aedes } = await import(process.argv[2] + '/node_modules/aedes/aedes.js')
const broker = await Aedes.createBroker()
createServer(broker.handle).listen(Number(process.argv[3]), '127.0.0.1', 4096)
"""


class DidNotStart(Exception):
    """A broker ended at once, or takes no connections."""


class Brokers:
    """Finds the programs, and starts them with configurations in a folder."""

    def __init__(self, folder, tidegate, relays):
        self.folder = pathlib.Path(folder)
        self.tidegate = tidegate
        self.relays = pathlib.Path(relays)
        self.mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        self.rumqttd = os.environ.get("RUMQTTD") or str(CACHE / "rumqttd/bin/rumqttd")
        self.aedes = os.environ.get("AEDES") or str(CACHE / "aedes")

    def missing(self, name):
        """Why a broker cannot be started; None where it can."""
        if name in TIDEGATES:
            plugin = TIDEGATES[name]
            there = plugin is None or (PLUGINS / f"{plugin}.wasm").exists()
            if name == "tidegate+mysql" and "TIDEGATE_BENCH_MYSQL" not in os.environ:
                return "set TIDEGATE_BENCH_MYSQL to the URL of an empty database"
            return None if there else "run plugins/build"
        if name.startswith("mosquitto"):
            return None if self.mosquitto else "install the package mosquitto"
        if name == "rumqttd":
            return None if os.path.exists(self.rumqttd) else "run benches/peers, or set RUMQTTD"
        if name == "aedes":
            there = os.path.exists(f"{self.aedes}/node_modules/aedes") and shutil.which("node")
            return None if there else "run benches/peers, or set AEDES"
        return None if (self.relays / name).exists() else "it is not beside mqload"

    @contextlib.contextmanager
    def running(self, name, options=""):
        """A broker: its process and port. `options` are lines for tidegate's section [broker]."""
        port = free_port()
        command = self.command(name, port, options)
        broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(name, broker, port)
            yield broker, port
        finally:
            broker.send_signal(signal.SIGTERM)
            try:
                broker.wait(10)
            except subprocess.TimeoutExpired:
                broker.kill()
                broker.wait()

    def command(self, name, port, options):
        if name in TIDEGATES:
            config = self.write("tidegate.toml", self.tidegate_config(name, port, options))
            return [self.tidegate, "run", "--config", config]
        if name.startswith("mosquitto"):
            text = f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            text += "max_queued_messages 0\nmax_inflight_messages 0\n"
            if name == "mosquitto+persistence":
                # As Debian's configuration has it: written to disk every half hour, and at the end.
                text += f"persistence true\npersistence_location {self.fresh_folder('mosquitto')}/\n"
            return [self.mosquitto, "-c", self.write("mosquitto.conf", text)]
        if name == "rumqttd":
            return [self.rumqttd, "-q", "-c", self.write("rumqttd.toml", RUMQTTD_CONFIG.format(port=port))]
        if name == "aedes":
            return ["node", self.write("aedes.mjs", AEDES_STARTER), self.aedes, str(port)]
        workers = ["2"] if name == "relay-tokio" else []
        return [str(self.relays / name), str(port), *workers]

    def tidegate_config(self, name, port, options):
        plugin = TIDEGATES[name]
        # The authorizer decides alone, so that each verdict is its own.
        default = "deny" if plugin == "cached-authorizer" else "allow"
        text = f'[broker]\n{options}\n[plugins]\ncache = "{self.folder / "cache"}"\n[log]\nlevel = "warn"\n'
        text += f'[[listener]]\nname = "bench"\naddress = "127.0.0.1:{port}"\nanonymous = true\n'
        text += f'default-authorization = "{default}"\n'
        if name in DURABLE:
            place = f'url = "{os.environ.get("TIDEGATE_BENCH_MYSQL")}"' if name == "tidegate+mysql" else None
            text += f'[storage]\n{place or "data = " + repr(self.fresh_folder("data"))}\n{DURABLE[name]}\n'
        if name == "tidegate+300-elsewhere":
            return text + "".join(plugin_section(plugin, f"{plugin}-{n}", [f"elsewhere/{n}/#"]) for n in range(300))
        if plugin:
            text += plugin_section(plugin, plugin)
        if plugin == "payload-filter":
            text += FILTER_SETTINGS
        return text

    def fresh_folder(self, name):
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return str(path)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)


def plugin_section(plugin, name, topics=None):
    section = f'[[plugin]]\nname = "{name}"\npath = "{PLUGINS / plugin}.wasm"\n'
    return section + (f"topics = {topics}\n" if topics else "")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(name, broker, port):
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if broker.poll() is not None:
            break
        time.sleep(0.05)
    raise DidNotStart(f"{name} did not start")
