r2 = 1
lock *(u64 *)(r1 + 0) += r2
r0 = 0
exit

//= verify
// reject at 1: rule=atomic-target: r1 holds the context, on which atomic operations are not allowed
