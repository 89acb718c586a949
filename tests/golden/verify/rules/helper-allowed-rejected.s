//! prog = "xdp"
call get_current_pid_tgid
r0 = 0
exit

//= verify
// reject at 0: rule=helper-allowed: helper get_current_pid_tgid needs Linux 6.10 or later
