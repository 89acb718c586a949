r6 = r1
r2 = 5
w3 = -7
r4 = 0x1122334455667788 ll
r5 = -1
r2 += 4
w2 += w3
r2 *= r5
r2 s/= 3
w2 s%= 3
r2 /= 7
r2 %= 7
w2 s/= w3
r2 |= r5
r2 &= 255
r2 ^= r4
r2 <<= 3
r2 >>= r3
r2 s>>= 2
w2 s>>= 2
r2 = -r2
w2 = -w2
r2 = (s8)r3
r2 = (s32)r3
w2 = (s16)w3
r2 = be16 r2
r2 = le32 r2
r2 = be64 r2
r2 = bswap32 r2
r0 = *(u8 *)skb[12]
r7 = 2
r0 = *(u16 *)skb[r7 + 4]
*(u64 *)(r10 - 8) = r7
*(u32 *)(r10 - 16) = -3
*(u8 *)(r10 - 12) = 1
*(u16 *)(r10 - 10) = r7
*(u8 *)(r10 - 11) = r7
r2 = *(u64 *)(r10 - 8)
r2 = *(u32 *)(r6 + 16)
r2 = *(s8 *)(r10 - 8)
r2 = *(s32 *)(r10 - 16)
r2 = 1
lock *(u64 *)(r10 - 8) += r2
lock *(u32 *)(r10 - 16) |= r2
lock *(u64 *)(r10 - 8) ^= r2
r2 = atomic64_fetch_add((u64 *)(r10 - 8), r2)
r2 = atomic_fetch_and((u32 *)(r10 - 16), r2)
r2 = atomic64_xchg((u64 *)(r10 - 8), r2)
r0 = 3
r0 = atomic64_cmpxchg((u64 *)(r10 - 8), r0, r2)
r0 = atomic_cmpxchg((u32 *)(r10 - 16), r0, r2)
r2 = load_acquire((u64 *)(r10 - 8))
store_release((u32 *)(r10 - 16), r2)
if r2 == 5 goto +0
if r2 > -1 goto +0
w3 = 1
if w2 s> w3 goto +0
if r2 & 1 goto +1
if r2 s<= -5 goto +0
if w2 != 7 goto +0
gotol +0
goto +0
call 7
call 8
r1 = 9
call sub
exit
sub:
r0 = r1
exit
