"""Changes nothing yet: each hook answers as if the plugin were not there."""

from wit_world import exports
# -- authorizer
from wit_world.exports import authorizer
# -- validating-connection
from wit_world.exports import validating_connection
# -- intercepting-publish
from wit_world.exports import intercepting_publish
# -- intercepting-client-enqueue
from wit_world.exports import intercepting_client_enqueue
# -- intercepting-subscription
from wit_world.exports import intercepting_subscription
# -- intercepting-unsubscription
from wit_world.exports import intercepting_unsubscription
# -- application-message-not-consumed
from wit_world.exports import application_message_not_consumed
# -- lifecycle
from wit_world.exports.lifecycle import Registration
# -- events
from wit_world.imports import log
# --
# -- lifecycle


class Lifecycle(exports.Lifecycle):
    def init(self, settings):
        # `raise Err("why")` of componentize_py_types keeps this version of the plugin from starting.
        return Registration(topics=[], eager_payload=None, authorize_deliveries=False)

    def drain(self):
        return None

    def migrate(self, handover):
        pass
# -- validating-connection


class ValidatingConnection(exports.ValidatingConnection):
    def validate(self, client, client_identifier, user_name, password):
        return validating_connection.Verdict_Next()

    def authenticate(self, client, purpose, method, data, state):
        return validating_connection.AuthenticationVerdict_Next()
# -- authorizer


class Authorizer(exports.Authorizer):
    def authorize(self, client, action, topic, qos, retain):
        return authorizer.Verdict_Next()
# -- intercepting-publish


class InterceptingPublish(exports.InterceptingPublish):
    def intercept(self, client, origin, topic, payload, payload_length, qos, retain):
        return intercepting_publish.Verdict_Continue()
# -- intercepting-client-enqueue


class InterceptingClientEnqueue(exports.InterceptingClientEnqueue):
    def intercept(self, sender, origin, topic, payload, payload_length, receivers):
        return intercepting_client_enqueue.Verdict.DELIVER
# -- intercepting-subscription


class InterceptingSubscription(exports.InterceptingSubscription):
    def intercept(self, client, subscriptions, subscription_identifier):
        return [intercepting_subscription.Verdict_Next() for _ in subscriptions]
# -- intercepting-unsubscription


class InterceptingUnsubscription(exports.InterceptingUnsubscription):
    def intercept(self, client, filters):
        return [intercepting_unsubscription.Verdict_Next() for _ in filters]
# -- application-message-not-consumed


class ApplicationMessageNotConsumed(exports.ApplicationMessageNotConsumed):
    def not_consumed(self, client, origin, topic, payload, payload_length, qos, why):
        return application_message_not_consumed.Verdict_Observe()
# -- events


class Events(exports.Events):
    # Packed as wit/deps/tidegate-plugin/events.wit says.
    def handle(self, events, texts):
        log.write(log.Level.DEBUG, "events", [("words", str(len(events)))])
# --
