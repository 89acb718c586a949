//! kernel = "6.12"
//! prog = "socket_filter"
r4 = *(u32 *)(r1 + 8)
r0 = 0
w3 = w4
w3 += -33
if w3 < -32 goto out
r3 = r10
r3 += -64
w2 = 0
call 26
out:
exit

//= verify
// reject at 8: rule=argument-length: r4 is number (0..4294967295); as a length for helper skb_load_bytes it must not be 0
