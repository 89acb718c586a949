//! maps = [{ type = "ringbuf", key = 0, value = 0, max = 4096 }]
r1 = map[0] ll
r2 = 8
r3 = 0
call ringbuf_reserve
if r0 == 0 goto out
r1 = r0
r2 = 0
call ringbuf_submit
out:
r0 = 0
exit

//= verify
// accept
