r10 += -8
r0 = 0
exit

//= verify
// reject at 0: rule=frame-pointer: r10, the frame pointer, cannot be written
