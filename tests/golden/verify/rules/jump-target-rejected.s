r0 = 0

//= verify
// reject at 0: rule=jump-target: the last instruction of a function must be an exit or a jump
