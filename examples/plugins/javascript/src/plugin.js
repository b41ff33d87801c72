// Stamps every message with the site it came through and a number per client, and keeps clients from publishing
// below one topic.
import client from "tidegate:plugin/client@0.1.0";
import log from "tidegate:plugin/log@0.1.0";
import message from "tidegate:plugin/message@0.1.0";
import reply from "tidegate:plugin/reply@0.1.0";
import state from "tidegate:plugin/state@0.1.0";

const NOT_AUTHORIZED = 0x87;
const PAYLOAD_FORMAT_INVALID = 0x99;

let settings;

export const lifecycle = {
  init(json) {
    settings = JSON.parse(json);
    // An error keeps this version of the plugin from starting.
    if (!settings.site) throw "settings: site: is missing";
    return { topics: [], eagerPayload: null, authorizeDeliveries: false };
  },
  drain() {
    return null;
  },
  migrate(_handover) {},
};

export const authorizer = {
  authorize(_client, action, topic, _qos, _retain) {
    if (action === "publish" && settings["read-only"] && topic.startsWith(settings["read-only"])) {
      return { tag: "deny", val: { reason: NOT_AUTHORIZED, cacheMs: 0 } };
    }
    return { tag: "next" };
  },
};

export const interceptingPublish = {
  intercept(_client, _origin, topic, _payload, payloadLength, _qos, _retain) {
    if (payloadLength === 0) {
      reply.reasonString("an empty payload says nothing");
      return { tag: "reject", val: PAYLOAD_FORMAT_INVALID };
    }
    const number = state.atomicAdd(`count/${client.identifier()}`, 1);
    message.setUserProperties([
      ...message.userProperties(),
      { name: "site", value: settings.site },
      { name: "number", value: String(number) },
    ]);
    log.write("debug", "stamped", [["topic", topic]]);
    return { tag: "continue" };
  },
};
