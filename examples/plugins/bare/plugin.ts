// Changes nothing yet: each hook answers as if the plugin were not there.
import log from "tidegate:plugin/log@0.1.0";

// -- lifecycle
export const lifecycle: Lifecycle = {
  init(_settings) {
    // An error that is thrown keeps this version of the plugin from starting.
    return { topics: [], eagerPayload: null, authorizeDeliveries: false };
  },
  drain() {
    return null;
  },
  migrate(_handover) {},
};

// -- validating-connection
export const validatingConnection: ValidatingConnection = {
  validate(_client, _clientIdentifier, _userName, _password) {
    return { tag: "next" };
  },
  authenticate(_client, _purpose, _method, _data, _state) {
    return { tag: "next" };
  },
};

// -- authorizer
export const authorizer: Authorizer = {
  authorize(_client, _action, _topic, _qos, _retain) {
    return { tag: "next" };
  },
};

// -- intercepting-publish
export const interceptingPublish: InterceptingPublish = {
  intercept(_client, _origin, _topic, _payload, _payloadLength, _qos, _retain) {
    return { tag: "continue" };
  },
};

// -- intercepting-client-enqueue
export const interceptingClientEnqueue: InterceptingClientEnqueue = {
  intercept(_sender, _origin, _topic, _payload, _payloadLength, _receivers) {
    return "deliver";
  },
};

// -- intercepting-subscription
export const interceptingSubscription: InterceptingSubscription = {
  intercept(_client, subscriptions, _subscriptionIdentifier) {
    return subscriptions.map(() => ({ tag: "next" }) as const);
  },
};

// -- intercepting-unsubscription
export const interceptingUnsubscription: InterceptingUnsubscription = {
  intercept(_client, filters) {
    return filters.map(() => ({ tag: "next" }) as const);
  },
};

// -- application-message-not-consumed
export const applicationMessageNotConsumed: ApplicationMessageNotConsumed = {
  notConsumed(_client, _origin, _topic, _payload, _payloadLength, _qos, _why) {
    return { tag: "observe" };
  },
};

// -- events
export const events: Events = {
  // Packed as wit/deps/tidegate-plugin/events.wit says.
  handle(rows, _texts) {
    log.write("debug", "events", [["words", String(rows.length)]]);
  },
};

// --
