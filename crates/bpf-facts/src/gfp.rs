//! Flags of kernel memory allocations (`include/linux/gfp_types.h`, as since 6.10).

/// Combinations that have names, those of most bits first.
pub static GFP_COMPOUNDS: &[(u64, &str)] = &[
    (0x100cc2, "GFP_HIGHUSER"),
    (0x100cc0, "GFP_USER"),
    (0x400cc0, "GFP_KERNEL_ACCOUNT"),
    (0xcc0, "GFP_KERNEL"),
    (0xc40, "GFP_NOFS"),
    (0xc00, "GFP_NOIO"),
    (0x2800, "GFP_NOWAIT"),
    (0x820, "GFP_ATOMIC"),
];

/// Single bits, from bit 0 on.
pub static GFP_BITS: &[(u64, &str)] = &[
    (1 << 0, "GFP_DMA"),
    (1 << 1, "__GFP_HIGHMEM"),
    (1 << 2, "GFP_DMA32"),
    (1 << 3, "__GFP_MOVABLE"),
    (1 << 4, "__GFP_RECLAIMABLE"),
    (1 << 5, "__GFP_HIGH"),
    (1 << 6, "__GFP_IO"),
    (1 << 7, "__GFP_FS"),
    (1 << 8, "__GFP_ZERO"),
    (1 << 10, "__GFP_DIRECT_RECLAIM"),
    (1 << 11, "__GFP_KSWAPD_RECLAIM"),
    (1 << 12, "__GFP_WRITE"),
    (1 << 13, "__GFP_NOWARN"),
    (1 << 14, "__GFP_RETRY_MAYFAIL"),
    (1 << 15, "__GFP_NOFAIL"),
    (1 << 16, "__GFP_NORETRY"),
    (1 << 17, "__GFP_MEMALLOC"),
    (1 << 18, "__GFP_COMP"),
    (1 << 19, "__GFP_NOMEMALLOC"),
    (1 << 20, "__GFP_HARDWALL"),
    (1 << 21, "__GFP_THISNODE"),
    (1 << 22, "__GFP_ACCOUNT"),
    (1 << 23, "__GFP_ZEROTAGS"),
    (1 << 24, "__GFP_SKIP_ZERO"),
    (1 << 25, "__GFP_SKIP_KASAN"),
    (1 << 26, "__GFP_NO_OBJ_EXT"),
];

/// Flags by name, `GFP_KERNEL|__GFP_ZERO`; bits without a name as a number, no bits as `0`.
pub fn gfp_names(flags: u64) -> String {
    let mut left = flags;
    let mut names = Vec::new();
    for (bits, name) in GFP_COMPOUNDS.iter().chain(GFP_BITS) {
        if left & bits == *bits {
            names.push((*name).to_string());
            left &= !bits;
        }
    }
    if left != 0 {
        names.push(format!("{left:#x}"));
    }
    if names.is_empty() { "0".into() } else { names.join("|") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_come_before_single_bits() {
        for (flags, names) in [
            (0, "0"),
            (0xcc0, "GFP_KERNEL"),
            (0xdc0, "GFP_KERNEL|__GFP_ZERO"),
            (0x820, "GFP_ATOMIC"),
            (0x1cc0, "GFP_KERNEL|__GFP_WRITE"),
            (0xcc2, "GFP_KERNEL|__GFP_HIGHMEM"),
            (0x8000_0000, "0x80000000"),
            (5, "GFP_DMA|GFP_DMA32"),
        ] {
            assert_eq!(gfp_names(flags), names);
        }
    }
}
