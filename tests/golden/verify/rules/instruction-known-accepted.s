//! kernel = "6.6"
r1 = 2
r0 = 1
r0 s/= r1
exit

//= verify
// accept
