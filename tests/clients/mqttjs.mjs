// MQTT.js against a broker: QoS 0, 1 and 2, retained, Will, resume, topic aliases.
//
// Usage: node mqttjs.mjs HOST PORT 311|5

import assert from "node:assert/strict";
import mqtt from "mqtt";

const [host, port, version] = process.argv.slice(2);
const v5 = version === "5";
const name = `mqttjs-${version}`;
const PATIENCE = 10_000;

function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing came in time`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One connection; what comes waits until it is asked for. */
class Client {
  static async connect(identifier, { keep = false, will, aliases = 0 } = {}) {
    const client = new Client();
    client.waiting = [];
    client.wanted = [];
    client.mqtt = mqtt.connect({
      host,
      port: Number(port),
      protocolVersion: v5 ? 5 : 4,
      clientId: `${name}-${identifier}`,
      clean: !keep,
      will,
      reconnectPeriod: 0,
      ...(v5 && { properties: { sessionExpiryInterval: keep ? 300 : 0, topicAliasMaximum: aliases } }),
    });
    client.mqtt.on("message", (topic, payload, packet) => {
      const message = { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain };
      const wanted = client.wanted.shift();
      wanted ? wanted(message) : client.waiting.push(message);
    });
    const connack = await inTime(
      new Promise((resolve, reject) => {
        client.mqtt.once("connect", resolve);
        client.mqtt.once("error", reject);
      }),
      "CONNACK",
    );
    client.sessionPresent = connack.sessionPresent;
    return client;
  }

  async subscribe(topic, qos) {
    const [granted] = await inTime(this.mqtt.subscribeAsync(topic, { qos }), "SUBACK");
    assert.equal(granted.qos, qos);
  }

  publish(topic, payload, qos, retain = false) {
    return inTime(this.mqtt.publishAsync(topic, payload, { qos, retain }), "acknowledgement");
  }

  message() {
    if (this.waiting.length > 0) return this.waiting.shift();
    return inTime(new Promise((resolve) => this.wanted.push(resolve)), "message");
  }

  disconnect() {
    return inTime(this.mqtt.endAsync(), "end");
  }

  /** Ends the connection as a broken network would. */
  cut() {
    this.mqtt.stream.destroy();
    this.mqtt.end(true);
  }
}

async function everyQos() {
  const receiver = await Client.connect("receiver");
  const sender = await Client.connect("sender");
  await receiver.subscribe(`${name}/qos/+`, 2);
  for (const qos of [0, 1, 2]) {
    await sender.publish(`${name}/qos/${qos}`, `payload ${qos}`, qos);
    const expected = { topic: `${name}/qos/${qos}`, payload: `payload ${qos}`, qos, retain: false };
    assert.deepEqual(await receiver.message(), expected);
  }
  await receiver.disconnect();
  await sender.disconnect();
}

async function retained() {
  const sender = await Client.connect("sender");
  for (const qos of [0, 1, 2]) await sender.publish(`${name}/kept`, `kept ${qos}`, qos, true);
  const receiver = await Client.connect("receiver");
  await receiver.subscribe(`${name}/kept`, 2);
  assert.deepEqual(await receiver.message(), { topic: `${name}/kept`, payload: "kept 2", qos: 2, retain: true });
  await sender.publish(`${name}/kept`, "", 1, true);
  await receiver.disconnect();
  await sender.disconnect();
}

async function will() {
  const witness = await Client.connect("witness");
  await witness.subscribe(`${name}/will`, 2);
  const leaves = (payload) => ({ will: { topic: `${name}/will`, payload, qos: 1, retain: false } });
  (await Client.connect("victim", leaves("gone"))).cut();
  assert.equal((await witness.message()).payload, "gone");
  await (await Client.connect("polite", leaves("not sent"))).disconnect();
  const sender = await Client.connect("sender");
  await sender.publish(`${name}/will`, "next", 1);
  assert.equal((await witness.message()).payload, "next");
  await sender.disconnect();
  await witness.disconnect();
}

async function resume() {
  const first = await Client.connect("resume", { keep: true });
  assert.equal(first.sessionPresent, false);
  await first.subscribe(`${name}/resume`, 2);
  await first.disconnect();
  const sender = await Client.connect("sender");
  for (let n = 0; n < 20; n++) await sender.publish(`${name}/resume`, `${n}`, 2);
  const second = await Client.connect("resume", { keep: true });
  assert.equal(second.sessionPresent, true);
  for (let n = 0; n < 20; n++) assert.equal((await second.message()).payload, `${n}`);
  await second.disconnect();
  await sender.disconnect();
  await (await Client.connect("resume")).disconnect();
}

/** The broker's, which MQTT.js resolves before it tells of a message. */
async function aliases() {
  if (!v5) return;
  const receiver = await Client.connect("receiver", { aliases: 2 });
  await receiver.subscribe(`${name}/alias/+`, 1);
  let sawOne = false;
  receiver.mqtt.on("packetreceive", (packet) => (sawOne ||= packet.properties?.topicAlias > 0));
  const sender = await Client.connect("sender");
  for (let n = 0; n < 24; n++) {
    const topic = `${name}/alias/${Math.floor(n / 3) % 4}`;
    await sender.publish(topic, `${n}`, n % 2);
    const got = await receiver.message();
    assert.deepEqual([got.topic, got.payload], [topic, `${n}`]);
  }
  assert.ok(sawOne, "no alias came");
  await sender.disconnect();
  await receiver.disconnect();
}

for (const scenario of [everyQos, retained, will, resume, aliases]) await scenario();
console.log(`MQTT.js ${version}: QoS 0, 1, 2, retained, will, resume, aliases`);
process.exit(0);
