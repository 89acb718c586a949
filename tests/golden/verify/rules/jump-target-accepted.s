r0 = 0
goto out
out:
exit

//= verify
// accept
