// Stamps every message with the site it came through and a number per client, and keeps clients from publishing
// below one topic.
//
// `bindings/` has the types and functions of wit/; what a function gets is its own to free, what it answers is
// freed by the bindings where they are told how. Memory that no call needs any more is freed at once, as an
// instance lives as long as the plugin.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/plugin.h"

enum { NOT_AUTHORIZED = 0x87, PAYLOAD_FORMAT_INVALID = 0x99 };

// The settings are one flat object of texts: {"site": "north", "read-only": "status/"}
static char site[128];
static char read_only[256];

// A text of the settings into `value`, empty where it is not there. Escapes are not undone.
static void setting(const char *json, const char *name, char *value, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\"", name);
    value[0] = '\0';
    const char *at = strstr(json, key);
    at = at ? strchr(at + strlen(key), '"') : NULL;
    const char *end = at ? strchr(at + 1, '"') : NULL;
    if (end)
        snprintf(value, size, "%.*s", (int)(end - at - 1), at + 1);
}

// A string that the callee only reads.
static plugin_string_t text(const char *characters) {
    return (plugin_string_t){(uint8_t *)characters, strlen(characters)};
}

bool exports_tidegate_plugin_lifecycle_init(plugin_string_t *settings,
                                            exports_tidegate_plugin_lifecycle_registration_t *registration,
                                            plugin_string_t *error) {
    char *json = strndup((char *)settings->ptr, settings->len);
    setting(json, "site", site, sizeof site);
    setting(json, "read-only", read_only, sizeof read_only);
    free(json);
    plugin_string_free(settings);
    if (!site[0]) {
        // This version of the plugin does not start.
        plugin_string_dup(error, "settings: site: is missing");
        return false;
    }
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

void exports_tidegate_plugin_authorizer_authorize(uint64_t client,
                                                  exports_tidegate_plugin_authorizer_action_t action,
                                                  plugin_string_t *topic,
                                                  exports_tidegate_plugin_authorizer_qos_t qos, bool retain,
                                                  exports_tidegate_plugin_authorizer_verdict_t *verdict) {
    (void)client, (void)qos, (void)retain;
    size_t length = strlen(read_only);
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_AUTHORIZER_VERDICT_NEXT;
    if (action == EXPORTS_TIDEGATE_PLUGIN_AUTHORIZER_ACTION_PUBLISH && length && topic->len >= length &&
        !memcmp(topic->ptr, read_only, length)) {
        verdict->tag = EXPORTS_TIDEGATE_PLUGIN_AUTHORIZER_VERDICT_DENY;
        verdict->val.deny = (exports_tidegate_plugin_authorizer_denial_t){.reason = NOT_AUTHORIZED};
    }
    plugin_string_free(topic);
}

// The number of this message among those of its client; 0 where the state is full.
static int64_t count(void) {
    plugin_string_t client, key;
    tidegate_plugin_client_identifier(&client);
    key.ptr = malloc(client.len + 6);
    key.len = client.len + 6;
    memcpy(key.ptr, "count/", 6);
    memcpy(key.ptr + 6, client.ptr, client.len);
    int64_t number = 0;
    tidegate_plugin_state_error_t error;
    if (!tidegate_plugin_state_atomic_add(&key, 1, &number, &error))
        number = 0;
    plugin_string_free(&key);
    plugin_string_free(&client);
    return number;
}

static void stamp(int64_t number) {
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    tidegate_plugin_message_list_user_property_t had, has;
    tidegate_plugin_message_user_properties(&had);
    has.len = had.len + 2;
    has.ptr = malloc(has.len * sizeof *has.ptr);
    if (had.len)
        memcpy(has.ptr, had.ptr, had.len * sizeof *has.ptr);
    has.ptr[had.len] = (tidegate_plugin_message_user_property_t){text("site"), text(site)};
    has.ptr[had.len + 1] = (tidegate_plugin_message_user_property_t){text("number"), text(digits)};
    tidegate_plugin_message_set_user_properties(&has);
    free(has.ptr);
    tidegate_plugin_message_list_user_property_free(&had);
}

void exports_tidegate_plugin_intercepting_publish_intercept(
    uint64_t client, exports_tidegate_plugin_intercepting_publish_origin_t origin, plugin_string_t *topic,
    plugin_list_u8_t *payload, uint32_t payload_length, exports_tidegate_plugin_intercepting_publish_qos_t qos,
    bool retain, exports_tidegate_plugin_intercepting_publish_verdict_t *verdict) {
    (void)client, (void)origin, (void)qos, (void)retain;
    verdict->tag = EXPORTS_TIDEGATE_PLUGIN_INTERCEPTING_PUBLISH_VERDICT_CONTINUE;
    if (payload_length == 0) {
        plugin_string_t reason = text("an empty payload says nothing");
        tidegate_plugin_reply_reason_string(&reason);
        verdict->tag = EXPORTS_TIDEGATE_PLUGIN_INTERCEPTING_PUBLISH_VERDICT_REJECT;
        verdict->val.reject = PAYLOAD_FORMAT_INVALID;
    } else {
        stamp(count());
        plugin_tuple2_string_string_t field = {text("topic"), *topic};
        plugin_list_tuple2_string_string_t fields = {&field, 1};
        plugin_string_t line = text("stamped");
        tidegate_plugin_log_write(TIDEGATE_PLUGIN_LOG_LEVEL_DEBUG, &line, &fields);
    }
    plugin_string_free(topic);
    if (payload)
        plugin_list_u8_free(payload);
}
