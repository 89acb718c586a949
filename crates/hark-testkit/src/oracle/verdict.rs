//! The simulated verifier against the kernel's.

use super::Finding;
use crate::agree::rng::Rng;
use crate::agree::{Bench, generate};
use bpf_facts::{Arch, KernelProfile, ProgType, V};
use bpf_syscall::{Kernel, LinuxKernel, probe};
use ebpf_asm::{InsnIdx, Program, show};

/// The types of programs that are generated.
const TYPES: [ProgType; 7] = [
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::RawTracepoint,
    ProgType::PerfEvent,
    ProgType::SocketFilter,
    ProgType::SchedCls,
    ProgType::Xdp,
];
/// Programs whose simulation takes more instructions are left out: the kernel would take too long.
const MOST: u64 = 20_000;

/// The running kernel, as a judge.
pub struct Verdicts {
    kernel: LinuxKernel,
    profile: KernelProfile,
    version: V,
}

impl Verdicts {
    /// `None` where programs cannot be loaded.
    pub fn new() -> Option<Verdicts> {
        let kernel = LinuxKernel::new().ok().filter(|kernel| probe::may_load(kernel).is_ok())?;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let version = V::parse(&release)?;
        Some(Verdicts { kernel, profile: KernelProfile::of(version, Arch::X86_64), version })
    }

    /// Its maps and both verifiers, for each type of programs.
    ///
    /// # Panics
    /// If maps cannot be created, though programs can be loaded.
    pub fn benches(&self) -> Benches<'_> {
        let kernel: &dyn Kernel = &self.kernel;
        let bench = || Bench::new(kernel, self.profile.clone());
        Benches(TYPES.map(|_| bench().expect("who may load programs may create maps")))
    }

    /// The version of the kernel.
    pub fn version(&self) -> V {
        self.version
    }
}

/// A bench for each type of programs: an array of programs belongs to the type of the first program that uses it, and
/// the kernel refuses others that do (`bpf_prog_map_compatible`, kernel/bpf/core.c).
pub struct Benches<'k>([Bench<'k>; TYPES.len()]);

/// Generates a program and asks both.
///
/// # Errors
/// If they disagree: the smallest program found that they disagree on, and the kernel's log.
pub fn verdict(bytes: &[u8], benches: &Benches<'_>, version: V) -> Finding {
    let mut rng = Rng::from_bytes(bytes);
    let i = rng.below(TYPES.len() as u64) as usize;
    let (ty, bench) = (TYPES[i], &benches.0[i]);
    let objects = bench.objects().filter(|_| rng.chance(50));
    let program = generate::program_with(&mut rng, ty, version, objects);
    let sim = bench.simulate(&program, ty, &verifier_sim::Options::default());
    if sim.stats.processed > MOST {
        return Ok(());
    }
    if !bench.judge(&program, ty).disagree() {
        return Ok(());
    }
    let small = bench.shrink(&program, ty);
    let judged = bench.judge(&small, ty);
    let kernel = if judged.kernel { "accepts" } else { "rejects" };
    Err(format!("{ty:?}: sim: {}; the kernel {kernel}\n{}\n{}", judged.sim, listing(&small), judged.log))
}

/// The instructions with their numbers.
pub(super) fn listing(p: &Program) -> String {
    (0..p.insns.len()).map(|i| format!("{i:3}: {}\n", show(p, InsnIdx(i as u32)))).collect()
}
