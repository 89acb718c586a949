//! prog = "sched_cls"
//! maps = [{ type = "array", key = 4, value = 16, max = 4, lock = 0 }]
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map[0] ll
call map_lookup_elem
if r0 == 0 goto out
r6 = r0
r1 = r0
call spin_lock
*(u64 *)(r6 + 8) = 1
out:
r0 = 0
exit

//= verify
// reject at 11: rule=lock: a lock is still held when the function returns
