// Stamps every message with the site it came through and a number per client, and keeps clients from publishing
// below one topic.
import client from "tidegate:plugin/client@0.1.0";
import log from "tidegate:plugin/log@0.1.0";
import message from "tidegate:plugin/message@0.1.0";
import reply from "tidegate:plugin/reply@0.1.0";
import state from "tidegate:plugin/state@0.1.0";

const NOT_AUTHORIZED = 0x87;
const PAYLOAD_FORMAT_INVALID = 0x99;

let settings: { site: string; "read-only"?: string };

export const lifecycle: Lifecycle = {
  init(json) {
    settings = JSON.parse(json);
    // An error keeps this version of the plugin from starting.
    if (!settings.site) throw "settings: site: is missing";
    return { topics: [], eagerPayload: null, authorizeDeliveries: false };
  },
  drain: () => null,
  migrate() {},
};

export const authorizer: Authorizer = {
  authorize(_client, action, topic) {
    const readOnly = settings["read-only"];
    if (action === "publish" && readOnly && topic.startsWith(readOnly)) {
      return { tag: "deny", val: { reason: NOT_AUTHORIZED, cacheMs: 0 } };
    }
    return { tag: "next" };
  },
};

export const interceptingPublish: InterceptingPublish = {
  intercept(_client, _origin, topic, _payload, payloadLength) {
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
