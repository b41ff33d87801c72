// Changes nothing yet: each hook answers as if the plugin were not there.
//
// `bindings/` has the types and functions of wit/; what a function gets is its own to free, what it answers is
// freed by the bindings where they are told how.

#include <stdlib.h>
#include <string.h>

#include "bindings/plugin.h"

// -- lifecycle
bool exports_tidegate_plugin_lifecycle_init(plugin_string_t *settings,
                                            exports_tidegate_plugin_lifecycle_registration_t *registration,
                                            plugin_string_t *error) {
    // `plugin_string_dup(error, "why"); return false;` keeps this version of the plugin from starting.
    (void)error;
    plugin_string_free(settings);
    *registration = (exports_tidegate_plugin_lifecycle_registration_t){0};
    return true;
}

bool exports_tidegate_plugin_lifecycle_drain(exports_tidegate_plugin_lifecycle_handover_t *handover) {
    (void)handover;
    return false;
}

bool exports_tidegate_plugin_lifecycle_migrate(exports_tidegate_plugin_lifecycle_handover_t *handover,
                                               plugin_string_t *error) {
    (void)error;
    exports_tidegate_plugin_lifecycle_handover_free(handover);
    return true;
}

// -- validating-connection
void exports_tidegate_plugin_validating_connection_validate(
    uint64_t client, plugin_string_t *identifier, plugin_string_t *user_name, plugin_list_u8_t *password,
    exports_tidegate_plugin_validating_connection_verdict_t *verdict) {
    (void)client;
    plugin_string_free(identifier);
    if (user_name)
        plugin_string_free(user_name);
    if (password)
        plugin_list_u8_free(password);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_VALIDATING_CONNECTION_VERDICT_NEXT;
}

void exports_tidegate_plugin_validating_connection_authenticate(
    uint64_t client, exports_tidegate_plugin_validating_connection_purpose_t purpose, plugin_string_t *method,
    plugin_list_u8_t *data, plugin_list_u8_t *state,
    exports_tidegate_plugin_validating_connection_authentication_verdict_t *verdict) {
    (void)client, (void)purpose;
    plugin_string_free(method);
    if (data)
        plugin_list_u8_free(data);
    if (state)
        plugin_list_u8_free(state);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_VALIDATING_CONNECTION_AUTHENTICATION_VERDICT_NEXT;
}

// -- authorizer
void exports_tidegate_plugin_authorizer_authorize(uint64_t client,
                                                  exports_tidegate_plugin_authorizer_action_t action,
                                                  plugin_string_t *topic,
                                                  exports_tidegate_plugin_authorizer_qos_t qos, bool retain,
                                                  exports_tidegate_plugin_authorizer_verdict_t *verdict) {
    (void)client, (void)action, (void)qos, (void)retain;
    plugin_string_free(topic);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_AUTHORIZER_VERDICT_NEXT;
}

// -- intercepting-publish
void exports_tidegate_plugin_intercepting_publish_intercept(
    uint64_t client, exports_tidegate_plugin_intercepting_publish_origin_t origin, plugin_string_t *topic,
    plugin_list_u8_t *payload, uint32_t payload_length, exports_tidegate_plugin_intercepting_publish_qos_t qos,
    bool retain, exports_tidegate_plugin_intercepting_publish_verdict_t *verdict) {
    (void)client, (void)origin, (void)payload_length, (void)qos, (void)retain;
    plugin_string_free(topic);
    if (payload)
        plugin_list_u8_free(payload);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_INTERCEPTING_PUBLISH_VERDICT_CONTINUE;
}

// -- intercepting-client-enqueue
exports_tidegate_plugin_intercepting_client_enqueue_verdict_t
exports_tidegate_plugin_intercepting_client_enqueue_intercept(
    uint64_t sender, exports_tidegate_plugin_intercepting_client_enqueue_origin_t origin, plugin_string_t *topic,
    plugin_list_u8_t *payload, uint32_t payload_length, plugin_list_u64_t *receivers) {
    (void)sender, (void)origin, (void)payload_length;
    plugin_string_free(topic);
    if (payload)
        plugin_list_u8_free(payload);
    plugin_list_u64_free(receivers);
    return EXPORTS_TIDEGATE_PLUGIN_INTERCEPTING_CLIENT_ENQUEUE_VERDICT_DELIVER;
}

// -- intercepting-subscription
void exports_tidegate_plugin_intercepting_subscription_intercept(
    uint64_t client, exports_tidegate_plugin_intercepting_subscription_list_subscription_t *subscriptions,
    uint32_t *identifier, exports_tidegate_plugin_intercepting_subscription_list_verdict_t *verdicts) {
    (void)client, (void)identifier;
    // Zero is `next`.
    verdicts->len = subscriptions->len;
    verdicts->ptr = calloc(verdicts->len, sizeof *verdicts->ptr);
    exports_tidegate_plugin_intercepting_subscription_list_subscription_free(subscriptions);
}

// -- intercepting-unsubscription
void exports_tidegate_plugin_intercepting_unsubscription_intercept(
    uint64_t client, plugin_list_string_t *filters,
    exports_tidegate_plugin_intercepting_unsubscription_list_verdict_t *verdicts) {
    (void)client;
    // Zero is `next`.
    verdicts->len = filters->len;
    verdicts->ptr = calloc(verdicts->len, sizeof *verdicts->ptr);
    plugin_list_string_free(filters);
}

// -- application-message-not-consumed
void exports_tidegate_plugin_application_message_not_consumed_not_consumed(
    uint64_t client, exports_tidegate_plugin_application_message_not_consumed_origin_t origin,
    plugin_string_t *topic, plugin_list_u8_t *payload, uint32_t payload_length,
    exports_tidegate_plugin_application_message_not_consumed_qos_t qos,
    exports_tidegate_plugin_application_message_not_consumed_why_t why,
    exports_tidegate_plugin_application_message_not_consumed_verdict_t *verdict) {
    (void)client, (void)origin, (void)payload_length, (void)qos, (void)why;
    plugin_string_free(topic);
    if (payload)
        plugin_list_u8_free(payload);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_APPLICATION_MESSAGE_NOT_CONSUMED_VERDICT_OBSERVE;
}

// -- events
// Packed as wit/deps/tidegate-plugin/events.wit says.
void exports_tidegate_plugin_events_handle(plugin_list_u64_t *events, plugin_string_t *texts) {
    plugin_string_t line = {(uint8_t *)"events", 6};
    plugin_list_tuple2_string_string_t fields = {NULL, 0};
    tidegate_plugin_log_write(TIDEGATE_PLUGIN_LOG_LEVEL_DEBUG, &line, &fields);
    plugin_list_u64_free(events);
    plugin_string_free(texts);
}

// --
