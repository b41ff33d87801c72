"""paho-mqtt against a broker: QoS 0, 1 and 2, retained, Will, resume.

Usage: paho_client.py HOST PORT 311|5
MQTT_CA: through TLS, trusting this file. MQTT_PATH: through a WebSocket at this path.
"""

import os
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST, PORT, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
V5 = VERSION == "5"
NAME = f"paho-{VERSION}"
PATIENCE = 10


class Client:
    """One connection; what comes waits in `messages`."""

    def __init__(self, identifier, keep=False, will=None):
        self.messages = queue.Queue()
        self.events = queue.Queue()
        protocol = mqtt.MQTTv5 if V5 else mqtt.MQTTv311
        options = {} if V5 else {"clean_session": not keep}
        if "MQTT_PATH" in os.environ:
            options["transport"] = "websockets"
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, f"{NAME}-{identifier}", protocol=protocol, **options)
        if "MQTT_PATH" in os.environ:
            self.paho.ws_set_options(path=os.environ["MQTT_PATH"])
        if "MQTT_CA" in os.environ:
            self.paho.tls_set(ca_certs=os.environ["MQTT_CA"])
        self.paho.on_connect = lambda client, data, flags, reason, properties: self.events.put((flags, reason))
        self.paho.on_subscribe = lambda client, data, mid, reasons, properties: self.events.put(reasons)
        self.paho.on_message = lambda client, data, message: self.messages.put(message)
        if will:
            self.paho.will_set(*will)
        options = {}
        if V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 300 if keep else 0
            options = {"clean_start": not keep, "properties": properties}
        self.paho.connect(HOST, PORT, **options)
        self.paho.loop_start()
        flags, reason = self.events.get(timeout=PATIENCE)
        assert not reason.is_failure, reason
        self.session_present = flags.session_present

    def subscribe(self, topic, qos):
        self.paho.subscribe(topic, qos)
        (reason,) = self.events.get(timeout=PATIENCE)
        assert reason.value == qos, reason

    def publish(self, topic, payload, qos, retain=False):
        sent = self.paho.publish(topic, payload, qos, retain)
        sent.wait_for_publish(PATIENCE)
        assert sent.is_published()

    def message(self):
        return self.messages.get(timeout=PATIENCE)

    def disconnect(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def cut(self):
        """Ends the connection as a broken network would."""
        self.paho.loop_stop()
        self.paho._sock_close()


def every_qos():
    receiver, sender = Client("receiver"), Client("sender")
    receiver.subscribe(f"{NAME}/qos/+", 2)
    for qos in (0, 1, 2):
        sender.publish(f"{NAME}/qos/{qos}", f"payload {qos}", qos)
        got = receiver.message()
        assert (got.topic, got.payload, got.qos) == (f"{NAME}/qos/{qos}", f"payload {qos}".encode(), qos)
    receiver.disconnect()
    sender.disconnect()


def retained():
    sender = Client("sender")
    for qos in (0, 1, 2):
        sender.publish(f"{NAME}/kept", f"kept {qos}", qos, retain=True)
    receiver = Client("receiver")
    receiver.subscribe(f"{NAME}/kept", 2)
    got = receiver.message()
    assert (got.payload, got.retain, got.qos) == (b"kept 2", True, 2)
    sender.publish(f"{NAME}/kept", b"", 1, retain=True)
    receiver.disconnect()
    sender.disconnect()


def will():
    witness = Client("witness")
    witness.subscribe(f"{NAME}/will", 2)
    Client("victim", will=(f"{NAME}/will", "gone", 1)).cut()
    got = witness.message()
    assert (got.payload, got.qos) == (b"gone", 1)
    Client("polite", will=(f"{NAME}/will", "not sent", 1)).disconnect()
    sender = Client("sender")
    sender.publish(f"{NAME}/will", "next", 1)
    assert witness.message().payload == b"next"
    sender.disconnect()
    witness.disconnect()


def resume():
    first = Client("resume", keep=True)
    assert not first.session_present
    first.subscribe(f"{NAME}/resume", 2)
    first.disconnect()
    sender = Client("sender")
    for n in range(20):
        sender.publish(f"{NAME}/resume", str(n), 2)
    second = Client("resume", keep=True)
    assert second.session_present
    assert [int(second.message().payload) for _ in range(20)] == list(range(20))
    second.disconnect()
    sender.disconnect()
    Client("resume").disconnect()


for scenario in (every_qos, retained, will, resume):
    scenario()
print(f"paho-mqtt {VERSION}: QoS 0, 1, 2, retained, will, resume")
