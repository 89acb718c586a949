r0 = r2
exit

//= verify
// reject at 0: rule=readable-register: r2 is read before it is written
