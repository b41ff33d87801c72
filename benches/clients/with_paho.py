"""The same with paho-mqtt: PORT QOS MESSAGES WINDOW SIZE."""

import sys
import time

import paho.mqtt.client as paho

PORT, QOS, MESSAGES, WINDOW, SIZE = map(int, sys.argv[1:6])
PAYLOAD = b"x" * SIZE
received = 0
subscribed = False


def on_subscribe(client, userdata, mid, reasons, properties):
    global subscribed
    subscribed = True


def on_message(client, userdata, message):
    global received
    received += 1
    if received + WINDOW <= MESSAGES:
        client.publish("clients/paho", PAYLOAD, QOS)


client = paho.Client(paho.CallbackAPIVersion.VERSION2, "with-paho")
client.max_inflight_messages_set(65535)
client.on_subscribe = on_subscribe
client.on_message = on_message
client.connect("127.0.0.1", PORT)
client.subscribe("clients/paho", QOS)
while not subscribed:
    client.loop()
before = time.process_time()
for _ in range(min(WINDOW, MESSAGES)):
    client.publish("clients/paho", PAYLOAD, QOS)
while received < MESSAGES:
    client.loop()
print(f"{(time.process_time() - before) * 1e6 / MESSAGES:.3f}")
