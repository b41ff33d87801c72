"""What is measured: loads, figures of each, and aims."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """The most that a figure of tidegate may be: by itself, or beside that of another broker."""

    limit: float
    # "itself"; "ratio", to Mosquitto; "tidegate", the ratio to a tidegate without plugins; "beyond" that, in ns.
    of: str = "ratio"

    def __str__(self):
        unit = {"itself": "", "ratio": " of Mosquitto", "tidegate": " of tidegate", "beyond": " ns beyond"}
        return f"≤ {self.limit:,g}{unit[self.of]}"


@dataclass(frozen=True)
class Figure:
    # As mqload calls it.
    key: str
    title: str
    aim: Aim | None = None


@dataclass(frozen=True)
class Scenario:
    name: str
    what: str
    # For mqload.
    load: str
    figures: tuple[Figure, ...]
    brokers: tuple[str, ...]
    # Whether system calls and context switches are counted, and the most of each per delivered message.
    counted: bool = False
    calls: float | None = None
    switches: float | None = None
    # A long run, of which three must do.
    long: bool = False
    # With plugins, brokers are the rows of a table.
    aims: dict | None = None


CPU = "cpu_us_per_delivered"
RELAYS = ("relay-epoll", "relay-tokio")
BROKERS = ("tidegate", "mosquitto", "rumqttd", "aedes")
# aedes 1.2 has no Shared Subscriptions.
SHARING = ("tidegate", "mosquitto", "rumqttd")
# rumqttd 0.20 keeps 200 of 100,000 retained messages.
RETAINING = ("tidegate", "mosquitto", "aedes")
MILLIONS = ("tidegate", "mosquitto")
PLUGINS = {
    "tidegate": None,
    "tidegate+300-elsewhere": Aim(1.03, "tidegate"),
    "tidegate+topic-only": Aim(200, "beyond"),
    "tidegate+reads-payload": Aim(300, "beyond"),
    "tidegate+cached-authorizer": Aim(0.2),
    "tidegate+payload-filter": Aim(0.35),
    "mosquitto": None,
    "relay-epoll": None,
    "relay-tokio": None,
}


def delivered(limit=None):
    return (Figure(CPU, "µs CPU per delivered", Aim(limit) if limit else None),)


def closed_loop(name, what, load, limit, brokers, calls=None, switches=0.05):
    return Scenario(name, what, load, delivered(limit), brokers, True, calls, switches)


SCENARIOS = [
    closed_loop("A1", "100 → 1, 64 B, QoS 0", "--scenario A1", 0.15, BROKERS + RELAYS, calls=0.15),
    closed_loop("A1Q1", "100 → 1, 64 B, QoS 1", "--scenario A1Q1", 0.13, BROKERS),
    closed_loop("B", "1 → 500, 64 B, QoS 0", "--scenario B", 0.18, BROKERS + RELAYS),
    closed_loop("BQ1", "1 → 500, 64 B, QoS 1", "--scenario BQ1", 0.28, BROKERS),
    closed_loop("C16Q0", "pairs, 16 B, QoS 0", "--scenario C", 0.17, BROKERS + RELAYS, calls=0.25),
    closed_loop("C16Q1", "pairs, 16 B, QoS 1", "--scenario C --qos 1", 0.16, BROKERS, calls=0.7),
    closed_loop("C16Q2", "pairs, 16 B, QoS 2", "--scenario C --qos 2", 0.15, BROKERS),
    closed_loop("C64KQ0", "pairs, 64 KB, QoS 0", "--scenario C --payload 65536", 0.9, BROKERS + RELAYS),
    closed_loop("ONE", "pairs, window 1, QoS 0", "--scenario C --window 1", None, BROKERS + RELAYS, 2.1, None),
    closed_loop("ONEQ1", "pairs, window 1, QoS 1", "--scenario C --window 1 --qos 1", None, BROKERS, None, None),
    closed_loop("H", "shared subscription, QoS 1", "--scenario H", 0.15, SHARING),
    Scenario("D", "20,000/s, QoS 1", "--scenario D",
             (*delivered(1.0), Figure("lat_p99_us", "p99, µs", Aim(1.0))), BROKERS),
    Scenario("E", "15,000 idle connections", "--scenario E --conns 15000 --hold-ms 3000",
             (Figure("rss_per_conn", "bytes each", Aim(1200, "itself")),
              Figure("cpu_us_per_connect", "µs CPU per connect", Aim(0.5)),
              Figure("idle_cpu_ms_per_s", "idle, ms CPU per s", Aim(1, "itself"))), BROKERS, long=True),
    Scenario("F", "1,000,000 filters", "--scenario F --filters 1000000",
             (Figure("rss_per_subscription", "bytes each", Aim(400, "itself")),
              Figure("cpu_us_per_subscription", "µs CPU per subscription", Aim(0.7)),
              Figure("miss_cpu_us_per_publish", "µs CPU per PUBLISH, miss", Aim(0.3)),
              Figure("full_cpu_us_per_publish", "µs CPU per PUBLISH, hit", Aim(0.4))), MILLIONS, long=True),
    Scenario("G", "100,000 retained", "--scenario G --count 100000",
             (Figure("cpu_us_per_drained", "µs CPU per message to a new `#`", Aim(0.33)),), RETAINING, long=True),
    Scenario("I", "1,000 sessions away × 100", "--scenario I",
             (Figure("cpu_us_per_queued", "µs CPU per queued"),
              Figure("cpu_us_per_drained", "µs CPU per message to who comes back", Aim(0.33))), BROKERS, long=True),
    Scenario("PLUGINS", "pairs, 256 B, QoS 0, with a plugin", "--scenario C --payload 256",
             delivered(), tuple(PLUGINS), aims=PLUGINS),
]


def free(load, brokers):
    """What stands behind `--`: brokers are the rows where CPU per delivered message is the figure."""
    like = next((it for it in SCENARIOS if it.load.split()[:2] == load[:2]), SCENARIOS[0])
    by_broker = like.figures[0].key == CPU
    figures = delivered() if by_broker else like.figures
    return Scenario("free", "as given", " ".join(load), figures, tuple(brokers), aims={} if by_broker else None)
