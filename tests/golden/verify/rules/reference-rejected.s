//! maps = [{ type = "ringbuf", key = 0, value = 0, max = 4096 }]
r1 = map[0] ll
r2 = 8
r3 = 0
call ringbuf_reserve
if r0 == 0 goto out
out:
r0 = 0
exit

//= verify
// reject at 6: rule=reference: what instruction 3 acquired is not released before the function returns
