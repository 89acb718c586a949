r6 = r1
call get_prandom_u32
r2 = r6
if r0 == 1 goto use
r2 = r6
use:
r3 = *(u64 *)(r2 + 0)
r0 = 0
exit

//= verify
// accept
