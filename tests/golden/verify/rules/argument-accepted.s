//! maps = [{ type = "hash", key = 4, value = 8, max = 16 }]
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map[0] ll
call map_lookup_elem

r0 = 0
exit

//= verify
// accept
