*(u64 *)(r10 - 256) = 0
call fn
r0 = 0
exit
fn:
*(u64 *)(r10 - 256) = 0
r0 = 0
exit

//= verify
// accept
