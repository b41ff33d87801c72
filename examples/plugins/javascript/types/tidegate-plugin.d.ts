// The contract of wit/ as componentize-qjs gives it to JavaScript: one module per host service, one type per hook.
// A function whose answer is a `result` returns what went well and throws the error.

type Bytes = Uint8Array;
type Qos = "at-most-once" | "at-least-once" | "exactly-once";
type Origin = "client" | "will" | "injected" | "bridge" | "cluster" | "retained";
/** An MQTT 5.0 Reason Code. */
type ReasonCode = number;
/** 0: no client. */
type ClientKey = number;
type UserProperty = { name: string; value: string };
type Modification = { topic: string | null; payload: Bytes | null; qos: Qos | null; retain: boolean | null };

declare module "tidegate:plugin/log@0.1.0" {
  const log: {
    write(level: "trace" | "debug" | "info" | "warn" | "error", message: string, fields: [string, string][]): void;
    enabled(level: "trace" | "debug" | "info" | "warn" | "error"): boolean;
  };
  export default log;
}

declare module "tidegate:plugin/settings@0.1.0" {
  const settings: { get(): string };
  export default settings;
}

declare module "tidegate:plugin/state@0.1.0" {
  /** Throws `{ tag: "quota-exceeded" | "not-a-number" }`. */
  const state: {
    get(key: string): Bytes | null;
    set(key: string, value: Bytes, ttlMs: number | null): void;
    delete(key: string): boolean;
    compareAndSet(key: string, old: Bytes | null, new_: Bytes | null): boolean;
    atomicAdd(key: string, delta: number): number;
    scan(prefix: string, limit: number): string[];
  };
  export default state;
}

declare module "tidegate:plugin/session-items@0.1.0" {
  const items: { get(key: string): Bytes | null; set(key: string, value: Bytes): void; delete(key: string): boolean };
  export default items;
}

declare module "tidegate:plugin/broker@0.1.0" {
  type Session = { connected: boolean; subscriptions: number; queued: number };
  type Client = { userName: string | null; remoteAddress: string; listener: string; protocolVersion: number };
  type Retained = { payload: Bytes; qos: Qos; userProperties: UserProperty[] };
  /** Throws `"busy" | "invalid" | "too-deep" | "denied"`. */
  const broker: {
    publish(topic: string, payload: Bytes, qos: Qos, retain: boolean, userProperties: UserProperty[]): void;
    publishLater(
      delayMs: number, topic: string, payload: Bytes, qos: Qos, retain: boolean, userProperties: UserProperty[],
    ): void;
    disconnect(clientIdentifier: string, reason: ReasonCode): void;
    subscribe(clientIdentifier: string, filter: string, maximumQos: Qos): void;
    unsubscribe(clientIdentifier: string, filter: string): void;
    getSession(clientIdentifier: string): Session | null;
    getClient(clientIdentifier: string): Client | null;
    listSessions(after: string | null, limit: number): string[];
    listClients(after: string | null, limit: number): string[];
    getRetained(topic: string): Retained | null;
    matchRetained(filter: string, after: string | null, limit: number): string[];
  };
  export default broker;
}

declare module "tidegate:plugin/crypto@0.1.0" {
  type Algorithm = "md5" | "sha1" | "sha256" | "sha512";
  type SignatureAlgorithm =
    | "rs256" | "rs384" | "rs512" | "ps256" | "ps384" | "ps512" | "es256" | "es384" | "eddsa";
  const crypto: {
    digest(algorithm: Algorithm, data: Bytes): Bytes;
    hmac(algorithm: Algorithm, key: Bytes, data: Bytes): Bytes;
    constantTimeEqual(a: Bytes, b: Bytes): boolean;
    verifySignature(algorithm: SignatureAlgorithm, publicKey: Bytes, message: Bytes, signature: Bytes): boolean;
  };
  export default crypto;
}

declare module "tidegate:plugin/passwords@0.1.0" {
  const passwords: { verify(password: Bytes, hash: string): boolean; hash(password: Bytes): string };
  export default passwords;
}

declare module "tidegate:plugin/http@0.1.0" {
  type Request = { method: string; url: string; headers: [string, string][]; body: Bytes; timeoutMs: number };
  type Response = { status: number; headers: [string, string][]; body: Bytes };
  const http: { send(request: Request): Response };
  export default http;
}

declare module "tidegate:plugin/metrics@0.1.0" {
  const metrics: {
    count(name: string, labels: [string, string][], by: number): void;
    gauge(name: string, labels: [string, string][], value: number): void;
    observe(name: string, labels: [string, string][], value: number): void;
  };
  export default metrics;
}

declare module "tidegate:plugin/clock@0.1.0" {
  const clock: { nowMs(): number; monotonicNs(): number };
  export default clock;
}

declare module "tidegate:plugin/random@0.1.0" {
  const random: { bytes(length: number): Bytes };
  export default random;
}

declare module "tidegate:plugin/client@0.1.0" {
  const client: {
    identifier(): string;
    userName(): string | null;
    remoteAddress(): string;
    listener(): string;
    protocolVersion(): number;
    userProperties(): UserProperty[];
    sessionIdentifier(session: number): string | null;
  };
  export default client;
}

declare module "tidegate:plugin/connection@0.1.0" {
  type WillMessage = { topic: string; payloadLength: number; qos: Qos; retain: boolean };
  const connection: {
    cleanStart(): boolean;
    keepAlive(): number;
    sessionExpiryInterval(): number;
    will(): WillMessage | null;
    authenticationMethod(): string | null;
    password(): Bytes | null;
    assignUserName(name: string): void;
    assignClientIdentifier(identifier: string): void;
    capSessionExpiry(seconds: number): void;
    setServerKeepAlive(seconds: number): void;
    setReceiveMaximum(maximum: number): void;
    setMaximumPacketSize(bytes: number): void;
    setExpiresAt(timeMs: number): void;
    setMountPrefix(prefix: string): void;
  };
  export default connection;
}

declare module "tidegate:plugin/message@0.1.0" {
  const message: {
    payload(offset: number, length: number): Bytes;
    userProperties(): UserProperty[];
    contentType(): string | null;
    responseTopic(): string | null;
    correlationData(): Bytes | null;
    payloadFormatIndicator(): boolean | null;
    messageExpiryInterval(): number | null;
    modify(modification: Modification): void;
    setUserProperties(properties: UserProperty[]): void;
    setContentType(contentType: string | null): void;
    setResponseTopic(topic: string | null): void;
    setMessageExpiryInterval(seconds: number | null): void;
    choose(perReceiver: number[], copies: Modification[]): void;
  };
  export default message;
}

declare module "tidegate:plugin/reply@0.1.0" {
  const reply: {
    reasonString(text: string): void;
    userProperty(name: string, value: string): void;
    serverReference(server: string): void;
    close(reason: ReasonCode): void;
  };
  export default reply;
}

// What a plugin exports, under these names in lower camel case: `export const interceptingPublish: InterceptingPublish`.

type Registration = { topics: string[]; eagerPayload: number | null; authorizeDeliveries: boolean };
type Handover = { stateVersion: number; bytes: Bytes };

interface Lifecycle {
  init(settings: string): Registration;
  drain(): Handover | null;
  migrate(handover: Handover): void;
}

type ConnectVerdict = { tag: "next" } | { tag: "allow" } | { tag: "deny"; val: ReasonCode };
type AuthenticationVerdict =
  | { tag: "next" }
  | { tag: "allow"; val: Bytes | null }
  | { tag: "deny"; val: ReasonCode }
  | { tag: "challenge"; val: { data: Bytes | null; state: Bytes } };

interface ValidatingConnection {
  validate(
    client: ClientKey, clientIdentifier: string, userName: string | null, password: Bytes | null,
  ): ConnectVerdict;
  authenticate(
    client: ClientKey, purpose: "connect" | "re-authenticate", method: string, data: Bytes | null, state: Bytes | null,
  ): AuthenticationVerdict;
}

type AuthorizerVerdict =
  | { tag: "next" }
  | { tag: "allow"; val: number }
  | { tag: "deny"; val: { reason: ReasonCode; cacheMs: number } };

interface Authorizer {
  authorize(
    client: ClientKey, action: "publish" | "subscribe" | "deliver", topic: string, qos: Qos, retain: boolean,
  ): AuthorizerVerdict;
}

type PublishVerdict = { tag: "continue" } | { tag: "swallow" } | { tag: "reject"; val: ReasonCode };

interface InterceptingPublish {
  /** `payload` is null where it is longer than `eagerPayload`: `message.payload` has parts of it. */
  intercept(
    client: ClientKey, origin: Origin, topic: string, payload: Bytes | null, payloadLength: number, qos: Qos,
    retain: boolean,
  ): PublishVerdict;
}

interface InterceptingClientEnqueue {
  intercept(
    sender: ClientKey, origin: Origin, topic: string, payload: Bytes | null, payloadLength: number, receivers: number[],
  ): "deliver" | "skip";
}

type Subscription = {
  filter: string; maximumQos: Qos; noLocal: boolean; retainAsPublished: boolean; retainHandling: number;
};
type SubscriptionVerdict =
  | { tag: "next" }
  | { tag: "grant"; val: { maximumQos: Qos; filter: string | null } }
  | { tag: "grant-without-routing" }
  | { tag: "deny"; val: ReasonCode };

interface InterceptingSubscription {
  intercept(
    client: ClientKey, subscriptions: Subscription[], subscriptionIdentifier: number | null,
  ): SubscriptionVerdict[];
}

type UnsubscriptionVerdict = { tag: "next" } | { tag: "keep" } | { tag: "deny"; val: ReasonCode };

interface InterceptingUnsubscription {
  intercept(client: ClientKey, filters: string[]): UnsubscriptionVerdict[];
}

type NotConsumedVerdict = { tag: "observe" } | { tag: "redirect"; val: string } | { tag: "answer"; val: ReasonCode };

interface ApplicationMessageNotConsumed {
  notConsumed(
    client: ClientKey, origin: Origin, topic: string, payload: Bytes | null, payloadLength: number, qos: Qos,
    why: "no-subscriber" | "all-vetoed",
  ): NotConsumedVerdict;
}

interface Events {
  /** Packed as wit/events.wit says. */
  handle(events: number[], texts: string): void;
}
