//! The first mistake, with its place in the file and what could stand there.
r0 = 0
r1 ?= 2
exit

//= asm
// error at 3:4: unexpected character '?'
