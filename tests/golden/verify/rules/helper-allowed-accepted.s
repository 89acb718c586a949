call get_current_pid_tgid
r0 = 0
exit

//= verify
// accept
