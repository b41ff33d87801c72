// MQTT.js against a broker with the plugin scram-auth: in with a password, again with it, and not with another.
//
// Usage: node mqttjs_scram.mjs HOST PORT USER PASSWORD

import assert from "node:assert/strict";
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import mqtt from "mqtt";

const [host, port, user, password] = process.argv.slice(2);
const METHOD = "SCRAM-SHA-256";
const PATIENCE = 10_000;

const hmac = (key, data) => createHmac("sha256", key).update(data).digest();

/** The client's side of one exchange (RFC 5802). */
class Scram {
  constructor(password) {
    this.password = password;
    this.bare = `n=${user},r=${randomBytes(12).toString("base64")}`;
    this.first = Buffer.from(`n,,${this.bare}`);
  }

  answer(serverFirst) {
    const { r, s, i } = Object.fromEntries(
      serverFirst.toString().split(",").map((part) => [part[0], part.slice(2)]),
    );
    const salted = pbkdf2Sync(this.password, Buffer.from(s, "base64"), Number(i), 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const withoutProof = `c=biws,r=${r}`;
    const message = `${this.bare},${serverFirst},${withoutProof}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), message);
    const proof = clientKey.map((byte, at) => byte ^ signature[at]).toString("base64");
    this.expected = `v=${hmac(hmac(salted, "Server Key"), message).toString("base64")}`;
    return Buffer.from(`${withoutProof},p=${proof}`);
  }

  check(serverFinal) {
    assert.equal(serverFinal.toString(), this.expected, "the broker knows the password");
  }
}

function auth(reasonCode, data) {
  return { cmd: "auth", reasonCode, properties: { authenticationMethod: METHOD, authenticationData: data } };
}

function connect(password) {
  const scram = new Scram(password);
  const client = mqtt.connect({
    host,
    port: Number(port),
    protocolVersion: 5,
    clientId: "mqttjs-scram",
    reconnectPeriod: 0,
    properties: { authenticationMethod: METHOD, authenticationData: scram.first },
  });
  client.scram = scram;
  client.handleAuth = (packet, reply) => {
    const data = packet.properties.authenticationData;
    if (packet.reasonCode === 0x18) return reply(null, auth(0x18, client.scram.answer(data)));
    client.scram.check(data);
    client.emit("authenticated again");
    reply();
  };
  return client;
}

function next(client, event) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${event}: nothing came in time`)), PATIENCE).unref();
    client.once(event, (...what) => resolve(what));
    if (event !== "error") client.once("error", reject);
  });
}

const client = connect(password);
const [connack] = await next(client, "connect");
client.scram.check(connack.properties.authenticationData);
assert.equal(connack.properties.authenticationMethod, METHOD);

await client.subscribeAsync("t", { qos: 1 });
for (const round of ["first", "second"]) {
  client.scram = new Scram(password);
  const authenticated = next(client, "authenticated again");
  client._sendPacket(auth(0x19, client.scram.first));
  await authenticated;
  const message = next(client, "message");
  await client.publishAsync("t", round, { qos: 1 });
  assert.equal((await message)[1].toString(), round);
}
await client.endAsync();

const [refused] = await next(connect(`not ${password}`), "error");
assert.equal(refused.code, 0x87);
console.log("MQTT.js: SCRAM-SHA-256, re-authentication, refusal");
process.exit(0);
