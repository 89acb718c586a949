r0 = 8
r0 /= 2
exit

//= verify
// accept
