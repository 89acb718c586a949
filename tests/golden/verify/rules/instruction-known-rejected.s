//! kernel = "6.1"
r1 = 2
r0 = 1
r0 s/= r1
exit

//= verify
// reject at 2: rule=instruction-known: the instruction needs Linux 6.6, and this is for 6.1
