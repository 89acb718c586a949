*(u64 *)(r10 - 8) = 0
r6 = r1
call get_prandom_u32
r2 = r10
r2 += -8
if r0 == 1 goto use
r2 = r6
use:
r3 = *(u64 *)(r2 + 0)
r0 = 0
exit

//= verify
// reject at 7: rule=one-pointer-kind: r2 holds a stack address here, but the context on another path
