"""A subscriber that never reads, and a publisher that floods it, beside a benchmark.

What it shows: the queue of that subscriber is bounded, what does not fit is dropped and counted, and the other clients
go on. Raw packets of MQTT 3.1.1, as nothing more is needed.
"""

import contextlib
import pathlib
import socket
import threading
import time

PAYLOAD = bytes(1024)
DROPPED = b"$SYS/broker/publish/messages/dropped"


class Flood:
    """Runs from construction to `stop`."""

    def __init__(self, port):
        self.never_reads = connect(port, b"never-reads", receive_buffer=4096)
        subscribe(self.never_reads, b"flood/#")
        self.publisher = connect(port, b"floods")
        self.port = port
        self.sent = 0
        self.began = time.monotonic()
        self.stopping = False
        self.thread = threading.Thread(target=self.publish, daemon=True)
        self.thread.start()

    def publish(self):
        block = publish_packet(b"flood/1", PAYLOAD) * 64
        # Sending ends with an error where the broker stops first.
        with contextlib.suppress(OSError):
            while not self.stopping:
                self.publisher.sendall(block)
                self.sent += 64

    def stop(self):
        """Messages per second that the broker took, and how many it says it dropped."""
        self.stopping = True
        self.thread.join(5)
        per_second = self.sent / (time.monotonic() - self.began)
        # Two turns of `$SYS`, so that the last is counted.
        time.sleep(2.5)
        dropped = retained_number(self.port, DROPPED)
        self.publisher.close()
        self.never_reads.close()
        return per_second, dropped


def resident(pid, key):
    """VmRSS or VmHWM, in bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) * 1024 for row in status.splitlines() if row.startswith(key))


def connect(port, client_id, receive_buffer=None):
    stream = socket.socket()
    if receive_buffer:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    stream.connect(("127.0.0.1", port))
    variable = b"\x00\x04MQTT\x04\x02\x00\x00" + text(client_id)
    stream.sendall(b"\x10" + length(len(variable)) + variable)
    read_packet(stream)
    return stream


def subscribe(stream, topic_filter):
    variable = b"\x00\x01" + text(topic_filter) + b"\x00"
    stream.sendall(b"\x82" + length(len(variable)) + variable)
    read_packet(stream)


def publish_packet(topic, payload):
    variable = text(topic) + payload
    return b"\x30" + length(len(variable)) + variable


def retained_number(port, topic):
    with connect(port, b"asks") as stream:
        stream.settimeout(5)
        subscribe(stream, topic)
        body = read_packet(stream)
    return int(body[2 + len(topic):])


def text(characters):
    return len(characters).to_bytes(2, "big") + characters


def length(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def read_packet(stream):
    """What follows the fixed header."""
    exactly(stream, 1)
    number, shift = 0, 0
    while True:
        byte = exactly(stream, 1)[0]
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return exactly(stream, number)


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise ConnectionError("the broker closed a connection of the flood")
        data += more
    return data
