//! Kernel abilities that change what hark generates or how it attaches.

use crate::version::V;

/// One ability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Feature {
    /// Back edges are verified by unrolling.
    BoundedLoops,
    /// 32-bit conditional jumps.
    Jmp32,
    /// `BPF_PSEUDO_MAP_VALUE`: the address of an array map's value as an immediate.
    MapValueAddr,
    /// BPF ring buffer.
    Ringbuf,
    /// Atomics other than add, and fetching ones.
    AtomicFetch,
    /// `bpf_loop` helper.
    BpfLoop,
    /// `bpf_for_each_map_elem` helper.
    ForEachMapElem,
    /// `bpf_map_lookup_percpu_elem` helper.
    LookupPercpuElem,
    /// BPF links for perf events (`BPF_LINK_CREATE` with `BPF_PERF_EVENT`).
    PerfLink,
    /// `kprobe_multi` links.
    KprobeMulti,
    /// `uprobe_multi` links.
    UprobeMulti,
    /// Kprobe session programs.
    KprobeSession,
    /// ISA v4: signed division, sign-extending moves and loads, `bswap`, `gotol`.
    IsaV4,
    /// `bpf_ktime_get_boot_ns` helper.
    KtimeBoot,
    /// `bpf_ktime_get_tai_ns` helper.
    KtimeTai,
    /// `bpf_get_func_ip` helper.
    GetFuncIp,
    /// `bpf_get_func_ip` helper in programs of uprobes.
    UprobeFuncIp,
    /// Perf-event attach cookies (`bpf_get_attach_cookie`).
    AttachCookie,
    /// fentry and fexit programs.
    Fentry,
    /// `iter` programs.
    Iter,
    /// Memory of maps is charged to cgroups; RLIMIT_MEMLOCK no longer matters.
    MemcgAccounting,
    /// `bpf_get_current_task_btf` helper, and names of threads padded with zeroes in `task_struct` itself.
    CurrentTaskBtf,
    /// Keys of hash maps that are longer than a program's stack.
    LongKeys,
    /// Helpers that change maps return a `long`: before, an `int` left the high half of a negative result zero.
    LongMapResults,
    /// The verifier knows that an array has the value of a constant key.
    ConstantKeys,
}

/// What there is to know of a feature.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDef {
    /// The feature.
    pub feature: Feature,
    /// What messages call it.
    pub name: &'static str,
    /// First kernel that has it.
    pub since: V,
    /// What hark uses it for.
    pub why: &'static str,
}

/// Every feature, in order of the enum.
pub static FEATURES: &[FeatureDef] = &[
    FeatureDef {
        feature: Feature::BoundedLoops,
        name: "bounded loops",
        since: V(5, 3),
        why: "`while` and `for` without a callback",
    },
    FeatureDef { feature: Feature::Jmp32, name: "32-bit jumps", since: V(5, 1), why: "shorter comparisons" },
    FeatureDef {
        feature: Feature::MapValueAddr,
        name: "map value addresses",
        since: V(5, 2),
        why: "maps without keys need no look-up",
    },
    FeatureDef {
        feature: Feature::Ringbuf,
        name: "BPF ring buffer",
        since: V(5, 8),
        why: "carries events to user space",
    },
    FeatureDef {
        feature: Feature::AtomicFetch,
        name: "fetching atomics",
        since: V(5, 12),
        why: "the value of `++` on a shared map",
    },
    FeatureDef { feature: Feature::BpfLoop, name: "bpf_loop", since: V(5, 17), why: "long loops" },
    FeatureDef {
        feature: Feature::ForEachMapElem,
        name: "bpf_for_each_map_elem",
        since: V(5, 13),
        why: "`for` over a map",
    },
    FeatureDef {
        feature: Feature::LookupPercpuElem,
        name: "bpf_map_lookup_percpu_elem",
        since: V(5, 19),
        why: "reading an aggregation in the kernel",
    },
    FeatureDef {
        feature: Feature::PerfLink,
        name: "perf event links",
        since: V(5, 15),
        why: "attaching without the older ioctl",
    },
    FeatureDef {
        feature: Feature::KprobeMulti,
        name: "kprobe_multi links",
        since: V(5, 18),
        why: "attaching to many functions at once",
    },
    FeatureDef {
        feature: Feature::UprobeMulti,
        name: "uprobe_multi links",
        since: V(6, 6),
        why: "attaching to many user functions at once",
    },
    FeatureDef {
        feature: Feature::KprobeSession,
        name: "kprobe sessions",
        since: V(6, 10),
        why: "one program for entry and return",
    },
    FeatureDef {
        feature: Feature::IsaV4,
        name: "instruction set v4",
        since: V(6, 6),
        why: "signed division and sign-extending moves",
    },
    FeatureDef {
        feature: Feature::KtimeBoot,
        name: "bpf_ktime_get_boot_ns",
        since: V(5, 8),
        why: "`nsecs`, which counts suspended time",
    },
    FeatureDef {
        feature: Feature::KtimeTai,
        name: "bpf_ktime_get_tai_ns",
        since: V(6, 1),
        why: "`nsecs(tai)`",
    },
    FeatureDef {
        feature: Feature::GetFuncIp,
        name: "bpf_get_func_ip",
        since: V(5, 15),
        why: "`func` in return probes",
    },
    FeatureDef {
        feature: Feature::UprobeFuncIp,
        name: "bpf_get_func_ip in uprobes",
        // "bpf: Add support for bpf_get_func_ip helper for uprobe program", the version of uprobe_multi.
        since: V(6, 6),
        why: "`func` in uretprobes",
    },
    FeatureDef {
        feature: Feature::AttachCookie,
        name: "attach cookies",
        since: V(5, 15),
        why: "one program for many probes that must tell which fired",
    },
    FeatureDef {
        feature: Feature::Fentry,
        name: "fentry/fexit",
        since: V(5, 5),
        why: "fentry and fexit probes",
    },
    FeatureDef { feature: Feature::Iter, name: "BPF iterators", since: V(5, 8), why: "iter probes" },
    FeatureDef {
        feature: Feature::MemcgAccounting,
        name: "memory cgroup accounting",
        since: V(5, 11),
        why: "maps are not limited by RLIMIT_MEMLOCK",
    },
    FeatureDef {
        feature: Feature::CurrentTaskBtf,
        name: "typed pointers to the current task",
        // The helper is there since 5.11; __set_task_comm (fs/exec.c) pads since 5.17.
        since: V(5, 17),
        why: "`comm` and members of `curtask` are plain loads",
    },
    FeatureDef {
        feature: Feature::LongKeys,
        name: "a map key of more than 512 bytes",
        // htab_map_alloc_check (kernel/bpf/hashtab.c) compared with MAX_BPF_STACK before.
        since: V(5, 11),
        why: "long texts and stacks as keys",
    },
    FeatureDef {
        feature: Feature::LongMapResults,
        name: "long results of map operations",
        since: V(6, 4),
        why: "errors of maps need no sign extension",
    },
    FeatureDef {
        feature: Feature::ConstantKeys,
        name: "look-ups by constant keys",
        // get_constant_map_key (kernel/bpf/verifier.c): the key has to lie on the stack.
        since: V(6, 14),
        why: "values of arrays are not compared with NULL",
    },
];

/// Longest key of a hash map, in bytes, without [`Feature::LongKeys`].
pub const SHORT_KEY: u32 = 512;

impl Feature {
    /// Its row.
    pub fn def(self) -> &'static FeatureDef {
        &FEATURES[self as usize]
    }

    /// Its name as one word, for scripts to look for: `kprobe_multi`.
    pub fn key(self) -> String {
        let mut key = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_ascii_uppercase() && !key.is_empty() {
                key.push('_');
            }
            key.push(c.to_ascii_lowercase());
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::{HelperId, helper};

    #[test]
    fn rows_stand_in_order_of_the_enum() {
        for (i, def) in FEATURES.iter().enumerate() {
            assert_eq!(def.feature as usize, i, "{}", def.name);
        }
    }

    #[test]
    fn keys_are_words() {
        assert_eq!(
            (Feature::KprobeMulti.key(), Feature::Jmp32.key()),
            ("kprobe_multi".into(), "jmp32".into())
        );
    }

    #[test]
    fn features_that_are_a_helper_are_as_old_as_it() {
        for (feature, id) in [
            (Feature::Ringbuf, HelperId::RINGBUF_RESERVE),
            (Feature::BpfLoop, HelperId::LOOP),
            (Feature::ForEachMapElem, HelperId::FOR_EACH_MAP_ELEM),
            (Feature::LookupPercpuElem, HelperId::MAP_LOOKUP_PERCPU_ELEM),
            (Feature::KtimeBoot, HelperId::KTIME_GET_BOOT_NS),
            (Feature::KtimeTai, HelperId::KTIME_GET_TAI_NS),
            (Feature::GetFuncIp, HelperId::GET_FUNC_IP),
            (Feature::AttachCookie, HelperId::GET_ATTACH_COOKIE),
        ] {
            assert_eq!(helper(id).map(|def| def.since), Some(feature.def().since), "{feature:?}");
        }
    }
}
