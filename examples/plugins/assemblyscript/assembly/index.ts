// Rejects messages without a payload. Written against the component model's canonical ABI by hand: strings and lists
// are an address and a length, answers of more than one word lie in memory. names.mjs gives the exports their names.

// @ts-ignore: decorator
@external("tidegate:plugin/reply@0.1.0", "reason-string")
declare function reasonString(text: usize, length: usize): void;

const PAYLOAD_FORMAT_INVALID: u8 = 0x99;

const why = String.UTF8.encode("an empty payload says nothing");

// The verdict: its kind (0 continue, 1 swallow, 2 reject), then a Reason Code.
const verdict = memory.data(2);

export function intercept(
  client: u64, origin: u32, topic: usize, topicLength: usize, hasPayload: u32, payload: usize, length: usize,
  payloadLength: u32, qos: u32, retain: u32,
): usize {
  used = 0;
  store<u8>(verdict, 0);
  if (payloadLength == 0) {
    reasonString(changetype<usize>(why), why.byteLength);
    store<u8>(verdict, 2);
    store<u8>(verdict, PAYLOAD_FORMAT_INVALID, 1);
  }
  return verdict;
}

// Where the broker writes the arguments of a call; what is in it is gone with the next one.
const SIZE: usize = 256 * 1024;
const arguments_ = memory.data(256 * 1024, 8);
let used: usize = 0;

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const start = (used + align - 1) & ~(align - 1);
  if (start + size > SIZE) unreachable();
  used = start + size;
  if (old) memory.copy(arguments_ + start, old, oldSize);
  return arguments_ + start;
}
