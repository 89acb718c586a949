//! kernel = "6.18"
// Without another function the kernel does not look for the dropped one.
r1 = 0
r2 = subprog[fn] ll
r3 = 0
r4 = 0
call loop
r0 = 0
exit
fn:
r0 = 0
exit

//= verify
// accept
