//! attach = "fentry/no_such_function"
r0 = 0
exit

//= verify
// reject at 0: rule=attach-target: the program names nothing to attach to
