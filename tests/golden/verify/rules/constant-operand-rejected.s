r0 = 8
r0 /= 0
exit

//= verify
// reject at 1: rule=constant-operand: division by zero
