"""Stamps every message with the site it came through and a number per client, and keeps clients from publishing
below one topic."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.authorizer import Action, Denial, Verdict_Deny, Verdict_Next
from wit_world.exports.intercepting_publish import Verdict_Continue, Verdict_Reject
from wit_world.exports.lifecycle import Registration
from wit_world.imports import client, log, message, reply, state
from wit_world.imports.types import UserProperty

NOT_AUTHORIZED = 0x87
PAYLOAD_FORMAT_INVALID = 0x99

settings = {}


class Lifecycle(exports.Lifecycle):
    def init(self, json_settings):
        settings.update(json.loads(json_settings))
        if not settings.get("site"):
            # This version of the plugin does not start.
            raise Err("settings: site: is missing")
        return Registration(topics=[], eager_payload=None, authorize_deliveries=False)

    def drain(self):
        return None

    def migrate(self, handover):
        pass


class Authorizer(exports.Authorizer):
    def authorize(self, _client, action, topic, qos, retain):
        read_only = settings.get("read-only")
        if action == Action.PUBLISH and read_only and topic.startswith(read_only):
            return Verdict_Deny(Denial(reason=NOT_AUTHORIZED, cache_ms=0))
        return Verdict_Next()


class InterceptingPublish(exports.InterceptingPublish):
    def intercept(self, _client, origin, topic, payload, payload_length, qos, retain):
        if payload_length == 0:
            reply.reason_string("an empty payload says nothing")
            return Verdict_Reject(PAYLOAD_FORMAT_INVALID)
        number = state.atomic_add(f"count/{client.identifier()}", 1)
        message.set_user_properties(
            message.user_properties()
            + [UserProperty("site", settings["site"]), UserProperty("number", str(number))]
        )
        log.write(log.Level.DEBUG, "stamped", [("topic", topic)])
        return Verdict_Continue()
