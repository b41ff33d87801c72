//! Rejects messages without a payload. Written against the component model's canonical ABI by hand: strings and
//! lists are an address and a length, answers of more than one word lie in memory.

const Publish = "tidegate:plugin/intercepting-publish@0.1.0#intercept";

const payload_format_invalid = 0x99;

extern "tidegate:plugin/reply@0.1.0" fn @"reason-string"(text: [*]const u8, length: usize) void;

const Verdict = extern struct {
    kind: enum(u8) { @"continue", swallow, reject },
    reason: u8 = 0,
};

var verdict: Verdict = undefined;

fn intercept(
    client: u64,
    origin: u32,
    topic: [*]const u8,
    topic_length: usize,
    has_payload: u32,
    payload: [*]const u8,
    length: usize,
    payload_length: u32,
    qos: u32,
    retain: u32,
) callconv(.c) *const Verdict {
    _ = .{ client, origin, topic, topic_length, has_payload, payload, length, qos, retain };
    used = 0;
    if (payload_length > 0) {
        verdict = .{ .kind = .@"continue" };
    } else {
        const why = "an empty payload says nothing";
        @"reason-string"(why, why.len);
        verdict = .{ .kind = .reject, .reason = payload_format_invalid };
    }
    return &verdict;
}

comptime {
    @export(&intercept, .{ .name = Publish });
}

/// Where the broker writes the arguments of a call; what is in it is gone with the next one.
var memory: [256 * 1024]u8 align(8) = undefined;
var used: usize = 0;

export fn cabi_realloc(old: ?[*]u8, old_size: usize, alignment: usize, size: usize) [*]u8 {
    const start = (used + alignment - 1) & ~(alignment - 1);
    if (start + size > memory.len) @trap();
    used = start + size;
    const new = memory[start..].ptr;
    if (old) |from| @memcpy(new[0..old_size], from[0..old_size]);
    return new;
}
