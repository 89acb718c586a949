//! kernel = "6.18"
//! prog = "socket_filter"
// What is known of `w3 = w4 - 33` tells of r4, as compilers test ranges with one comparison.
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
// accept
