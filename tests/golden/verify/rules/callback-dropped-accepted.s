//! kernel = "6.18"
// The loop has no turns: `fn` is dropped, and its address becomes that of `other`, which takes its place.
r1 = 0
r2 = subprog[fn] ll
r3 = 0
r4 = 0
call loop
call other
r0 = 0
exit
fn:
r0 = 0
exit
other:
r0 = 0
exit

//= verify
// accept
