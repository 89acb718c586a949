*(u64 *)(r10 - 256) = 0
call fn
r0 = 0
exit
fn:
*(u64 *)(r10 - 320) = 0
r0 = 0
exit

//= verify
// reject at 3: rule=stack-depth: 2 nested functions use 576 bytes of stack, more than 512
