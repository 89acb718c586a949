//! What the assembler reads comes out in the same dialect, jumps as distances.
r6 = r1
w2 = 7
r2 s>>= 3
r3 = *(u32 *)(r6 + 16)
*(u64 *)(r10 - 8) = r3
if r2 s> 5 goto out
lock *(u64 *)(r10 - 8) += r2
call ktime_get_ns
out:
r0 = 0x1122334455667788 ll
exit

//= asm
//     r6 = r1
//     w2 = 7
//     r2 s>>= 3
//     r3 = *(u32 *)(r6 + 16)
//     *(u64 *)(r10 - 8) = r3
//     if r2 s> 5 goto L1
//     lock *(u64 *)(r10 - 8) += r2
//     call 5
// L1:
//     r0 = 0x1122334455667788 ll
//     exit

//= hex
// bf 16 00 00 00 00 00 00
// b4 02 00 00 07 00 00 00
// c7 02 00 00 03 00 00 00
// 61 63 10 00 00 00 00 00
// 7b 3a f8 ff 00 00 00 00
// 65 02 02 00 05 00 00 00
// db 2a f8 ff 00 00 00 00
// 85 00 00 00 05 00 00 00
// 18 00 00 00 88 77 66 55
// 00 00 00 00 44 33 22 11
// 95 00 00 00 00 00 00 00
