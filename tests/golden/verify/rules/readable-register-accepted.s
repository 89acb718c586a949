r0 = 0
exit

//= verify
// accept
