//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
r1 = map[0] ll
*(u64 *)(r1 + 0) = 1
r0 = 0
exit

//= verify
// reject at 1: rule=writable-memory: r1 holds a map, which cannot be written to
