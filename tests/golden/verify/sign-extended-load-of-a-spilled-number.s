//! prog = "kprobe"
//! kernel = "6.18"
//! A sign-extending load gives another number than the one on the stack if bit 31 is set: that r4 is -1 says nothing of
//! all 64 bits there, so both ways of the second jump must be good.
r1 = *(u64 *)(r1 + 0)
w1 = w1
*(u64 *)(r10 - 8) = r1
r4 = *(s32 *)(r10 - 8)
if r4 != -1 goto out
r5 = *(u64 *)(r10 - 8)
if r5 == -1 goto out
r0 = r9
out:
r0 = 0
exit

//= verify
// reject at 7: rule=readable-register: r9 is read before it is written
