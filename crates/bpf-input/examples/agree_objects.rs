//! Compares the simulated verifier with the running kernel's on objects, and on programs almost like theirs:
//! `agree_objects [--seed N] [--count N] [--show N] [--only PROGRAM] FILE.o…`

use bpf_facts::{Arch, AttachType, KernelProfile, MapFlags, MapType, PROG_TYPES, V};
use bpf_input::elf::{self, Kernel};
use bpf_input::{Case, load, prepare};
use bpf_syscall::{Errno, LinuxKernel, LogLevel};
use hark_btf::Btf;
use std::collections::BTreeMap;
use std::sync::Arc;
use verifier_sim::{Options, Verdict};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

/// Changes a program a little; says how.
fn mutate(case: &mut Case, rng: &mut Rng) -> String {
    if rng.below(12) == 0 {
        return mutate_surroundings(case, rng);
    }
    let mut starts = Vec::new();
    let mut i = 0;
    while i < case.slots.len() {
        starts.push(i);
        i += if case.slots[i][0] == 0x18 { 2 } else { 1 };
    }
    for _ in 0..100 {
        let at = rng.pick(&starts);
        let old = case.slots[at];
        let mut slot = old;
        let class = slot[0] & 7;
        let imm = i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]]);
        let off = i16::from_le_bytes([slot[2], slot[3]]);
        let small = [1i32, -1, 2, -2, 4, -4, 8, -8, 16, -16, 64, -64];
        match rng.below(14) {
            0 | 1 if (1..=3).contains(&class) => {
                slot[2..4].copy_from_slice(&off.wrapping_add(rng.pick(&small) as i16).to_le_bytes());
            }
            2 | 3 if slot[0] != 0x18 && slot[0] != 0x85 => {
                let new = match rng.below(6) {
                    0 => imm.wrapping_neg(),
                    1 => imm.wrapping_mul(2),
                    2 => imm / 2,
                    3 => rng.pick(&[0, 1, -1, 7, 255, 256, 4096, 65535, i32::MAX, i32::MIN]),
                    _ => imm.wrapping_add(rng.pick(&small)),
                };
                slot[4..].copy_from_slice(&new.to_le_bytes());
            }
            4 if (1..=3).contains(&class) => slot[0] = slot[0] & !0x18 | rng.pick(&[0u8, 8, 0x10, 0x18]),
            5 | 6 if class == 5 || class == 6 => match rng.below(4) {
                // Drop a check.
                0 | 1 if slot[0] & 0xf0 != 0x80 && slot[0] & 0xf0 != 0x90 => slot = [5, 0, 0, 0, 0, 0, 0, 0],
                2 if slot[0] & 0xf0 != 0x80 && slot[0] & 0xf0 != 0x90 => {
                    slot[0] = slot[0] & 0x0f
                        | rng.pick(&[0x10u8, 0x20, 0x30, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0, 0x40]);
                }
                _ => slot[0] ^= 3,
            },
            7 if slot[0] == 0x85 && slot[1] >> 4 == 0 => {
                let id = 1 + rng.below(211) as i32;
                slot[4..].copy_from_slice(&id.to_le_bytes());
            }
            8 => slot[1] = slot[1] & 0xf0 | rng.below(11) as u8,
            9 if slot[0] != 0x18 && slot[0] != 0x85 => slot[1] = slot[1] & 0x0f | (rng.below(11) as u8) << 4,
            10 | 11 if slot[0] != 0x18 => slot = [5, 0, 0, 0, 0, 0, 0, 0],
            12 if class == 4 || class == 7 => {
                slot[0] =
                    slot[0] & 0x0f | rng.pick(&[0u8, 0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0]);
            }
            13 if slot[0] != 0x18 && at + 1 < case.slots.len() && case.slots[at + 1][0] != 0x18 => {
                case.slots.swap(at, at + 1);
                return format!("swap {at} and the next");
            }
            _ => {}
        }
        if slot != old {
            case.slots[at] = slot;
            return format!("slot {at}: {old:02x?} -> {slot:02x?}");
        }
    }
    "nothing".into()
}

fn mutate_surroundings(case: &mut Case, rng: &mut Rng) -> String {
    match rng.below(6) {
        0 => {
            case.license = "Proprietary".into();
            "licence".into()
        }
        1 => {
            case.flags ^= 1 << 4;
            "sleepable".into()
        }
        2 => {
            let def = &PROG_TYPES[rng.below(PROG_TYPES.len() as u64) as usize];
            case.ty = def.ty;
            case.attach_type = if def.attach.is_empty() { AttachType::None } else { rng.pick(def.attach) };
            if !matches!(def.name, "tracing" | "lsm") {
                case.attach = None;
            }
            format!("type {} {:?}", def.name, case.attach_type)
        }
        _ if !case.maps.is_empty() => {
            let i = rng.below(case.maps.len() as u64) as usize;
            let map = &mut case.maps[i];
            map.btf = None;
            map.special.clear();
            match rng.below(5) {
                0 => map.key_size = rng.pick(&[1, 2, 4, 8, 16]),
                1 => {
                    map.value_size = rng.pick(&[1, 4, 8, 16, 64]);
                    map.data = None;
                    map.frozen = false;
                }
                2 => map.max_entries = rng.pick(&[1, 2, 16]),
                3 => map.flags ^= rng.pick(&[MapFlags::RDONLY_PROG, MapFlags::WRONLY_PROG]),
                _ => {
                    map.ty = rng.pick(&[
                        MapType::Hash,
                        MapType::Array,
                        MapType::PercpuHash,
                        MapType::PercpuArray,
                        MapType::LruHash,
                        MapType::Queue,
                        MapType::Stack,
                        MapType::StackTrace,
                        MapType::PerfEventArray,
                        MapType::ProgArray,
                        MapType::Ringbuf,
                        MapType::BloomFilter,
                        MapType::LpmTrie,
                    ]);
                    map.data = None;
                    map.frozen = false;
                }
            }
            format!(
                "map {i}: {:?} {}/{} {} flags {:#x}",
                map.ty, map.key_size, map.value_size, map.max_entries, map.flags
            )
        }
        _ => mutate(case, rng),
    }
}

#[derive(Default)]
struct Tally {
    both_accept: u64,
    both_reject: u64,
    wrong_accept: u64,
    wrong_reject: u64,
    unsure_accept: u64,
    unsure_reject: u64,
    skipped: u64,
}

fn main() {
    let (mut seed, mut count, mut show, mut only) = (1u64, 0u64, 10usize, None::<String>);
    let mut files = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seed" => seed = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--count" => count = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--show" => show = args.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--only" => only = args.next(),
            _ => files.push(arg),
        }
    }
    let kernel = LinuxKernel::new().expect("the bpf system call");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc");
    let version = V::parse(&release).expect("a version");
    let profile = KernelProfile::of(version, Arch::X86_64);
    let btf = Arc::new(Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux").expect("BTF")).expect("BTF"));
    let target = Kernel { version, btf: Some(Arc::clone(&btf)), n_cpus: 2, config: Vec::new() };
    let mut tally: BTreeMap<String, Tally> = BTreeMap::new();
    let mut unsure: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut shown = 0;
    let mut rng = Rng(seed);
    for file in &files {
        let cases = match elf::read(&std::fs::read(file).expect("the file"), &target) {
            Ok(cases) => cases,
            Err(e) => {
                println!("{file}: {e}");
                continue;
            }
        };
        for case in cases {
            let case = match case {
                Ok(case) => case,
                Err(e) => {
                    println!("{file}: {e}");
                    continue;
                }
            };
            if only.as_ref().is_some_and(|only| *only != case.name) {
                continue;
            }
            let mut shared = match prepare(&kernel, &case) {
                Ok(prepared) => Some(prepared),
                Err(e) => {
                    println!("{file}: {}: {e}", case.name);
                    continue;
                }
            };
            for round in 0..=count {
                let mut mutant = case.clone();
                let mut how = Vec::new();
                if round > 0 {
                    for _ in 0..1 + rng.below(5) / 3 {
                        how.push(mutate(&mut mutant, &mut rng));
                    }
                }
                let own = how.iter().any(|how| how.starts_with("map"));
                let prepared = if own { prepare(&kernel, &mutant).ok() } else { shared.take() };
                let Some(prepared) = prepared else { continue };
                let loaded = load(&kernel, &prepared, &mutant, LogLevel::None);
                let judged = mutant.judge(&profile, Some(&btf), &Options::default());
                let tally = tally.entry(format!("{:?}", mutant.ty)).or_default();
                let accepted = match &loaded {
                    Ok(_) => Some(true),
                    Err(e) if e.is_rejection() => Some(false),
                    Err(e) if [Errno::EPERM, Errno::ENOMEM].contains(&e.errno()) => None,
                    Err(_) => Some(false),
                };
                let cell = match (judged.verdict, accepted) {
                    (_, None) => &mut tally.skipped,
                    (Verdict::Accept, Some(true)) => &mut tally.both_accept,
                    (Verdict::Accept, Some(false)) => &mut tally.wrong_accept,
                    (Verdict::Reject, Some(true)) => &mut tally.wrong_reject,
                    (Verdict::Reject, Some(false)) => &mut tally.both_reject,
                    (Verdict::Unsure, Some(true)) => &mut tally.unsure_accept,
                    (Verdict::Unsure, Some(false)) => &mut tally.unsure_reject,
                };
                *cell += 1;
                if judged.verdict == Verdict::Unsure && accepted.is_some() {
                    let entry = unsure.entry(judged.reason.clone()).or_default();
                    entry.0 += 1;
                    entry.1 = format!("{} {how:?}", case.name);
                }
                let disagree = matches!(
                    (judged.verdict, accepted),
                    (Verdict::Accept, Some(false)) | (Verdict::Reject, Some(true))
                );
                if disagree && shown < show {
                    shown += 1;
                    println!("==== {file} {} ({:?}) {how:?}", case.name, mutant.ty);
                    println!("  sim {} at {:?}: {}", judged.verdict.name(), judged.slot, judged.reason);
                    if let Err(e) = &loaded {
                        let lines: Vec<&str> = e.log.text.lines().collect();
                        println!("  kernel: {}", e.error);
                        for line in &lines[lines.len().saturating_sub(8)..] {
                            println!("   | {line}");
                        }
                    }
                }
                if !own {
                    shared = Some(prepared);
                }
            }
        }
    }
    println!(
        "{:24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "accept", "reject", "WRONG-A", "wrong-r", "unsure-a", "unsure-r", "skipped"
    );
    for (ty, t) in &tally {
        println!(
            "{ty:24} {:8} {:8} {:8} {:8} {:8} {:8} {:8}",
            t.both_accept,
            t.both_reject,
            t.wrong_accept,
            t.wrong_reject,
            t.unsure_accept,
            t.unsure_reject,
            t.skipped
        );
    }
    let mut unsure: Vec<_> = unsure.into_iter().collect();
    unsure.sort_by_key(|(_, (n, _))| std::cmp::Reverse(*n));
    for (what, (n, example)) in unsure.iter().take(40) {
        println!("  unsure {n}: {what}   e.g. {example}");
    }
}
