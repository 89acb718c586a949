//! maps = [{ type = "array", key = 4, value = 16, max = 4 }]
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map[0] ll
call map_lookup_elem
if r0 == 0 goto out
r0 = *(u64 *)(r0 + 8)
out:
r0 = 0
exit

//= verify
// accept
