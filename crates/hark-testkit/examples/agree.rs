//! Compares the simulated verifier with the running kernel's on generated programs:
//! `agree [--type NAME]… [--seed FIRST] [--count N] [--show N] [--keep DIR] [--jobs N]`. `cargo xtask agree` runs it.

use anyhow::Context;
use bpf_facts::{Arch, KernelProfile, ProgType, V, prog_type, prog_type_by_name};
use bpf_syscall::LinuxKernel;
use ebpf_asm::{Callee, Insn, InsnIdx, Program};
use hark_testkit::agree::keep::keep;
use hark_testkit::agree::{Bench, Matrix};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;
use verifier_sim::Options;

/// The program types whose programs load without a target.
const TYPES: &[ProgType] = &[
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::RawTracepoint,
    ProgType::PerfEvent,
    ProgType::Tracing,
    ProgType::SocketFilter,
    ProgType::SchedCls,
    ProgType::Xdp,
];
/// Programs that take longer than so many instructions are left out: the kernel would be busy with them alone.
const MAX_WALKED: u64 = 20_000;

struct Args {
    types: Vec<ProgType>,
    seed: u64,
    count: u64,
    show: usize,
    keep: Option<PathBuf>,
    /// Threads.
    jobs: u64,
}

fn args() -> anyhow::Result<Args> {
    let mut args = Args { types: Vec::new(), seed: 1, count: 1000, show: 3, keep: None, jobs: 1 };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--type" => {
                args.types.push(prog_type_by_name(&value).with_context(|| format!("no type {value}"))?.ty);
            }
            "--seed" => args.seed = value.parse()?,
            "--count" => args.count = value.parse()?,
            "--show" => args.show = value.parse()?,
            "--jobs" => args.jobs = value.parse::<u64>()?.max(1),
            "--keep" => args.keep = Some(value.into()),
            _ => anyhow::bail!("no flag {flag}"),
        }
    }
    if args.types.is_empty() {
        args.types = TYPES.to_vec();
    }
    Ok(args)
}

fn main() -> anyhow::Result<()> {
    let args = args()?;
    let kernel = LinuxKernel::new()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = V::parse(&release).context("a version")?;
    let mut profile = KernelProfile::of(version, Arch::X86_64);
    profile.limits.processed = MAX_WALKED as u32 + 1;
    let bench = Bench::new(&kernel, profile)?;
    println!(
        "| {:24} | accept | reject | wrong accept | wrong reject | unsure, accept | unsure, reject | left out | a second |",
        "type"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut wrong = 0;
    for ty in &args.types {
        wrong += compare(&bench, *ty, &args)?;
    }
    anyhow::ensure!(wrong == 0, "{wrong} programs are judged differently");
    Ok(())
}

/// What came of the programs of one thread.
#[derive(Default)]
struct Tally {
    matrix: Matrix,
    long: u64,
    unsure: BTreeMap<String, u64>,
    /// Seeds of disagreements.
    wrong: Vec<u64>,
}

/// Judges every `step`th program.
fn tally(bench: &Bench<'_>, ty: ProgType, first: u64, step: u64, end: u64) -> Tally {
    let mut tally = Tally::default();
    let mut seed = first;
    while seed < end {
        let p = bench.program_of(seed, ty);
        let sim = bench.simulate(&p, ty, &Options::default());
        if sim.stats.processed > MAX_WALKED {
            tally.long += 1;
        } else {
            let judged = bench.judge_simulated(&p, ty, sim);
            tally.matrix.add(&judged);
            if judged.disagree() {
                tally.wrong.push(seed);
            }
            if let Some((_, what)) = judged.sim.unsure {
                *tally.unsure.entry(what).or_default() += 1;
            }
        }
        seed += step;
    }
    tally
}

fn compare(bench: &Bench<'_>, ty: ProgType, args: &Args) -> anyhow::Result<u64> {
    let began = Instant::now();
    let end = args.seed + args.count;
    let all: Vec<Tally> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..args.jobs)
            .map(|i| scope.spawn(move || tally(bench, ty, args.seed + i, args.jobs, end)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let (mut m, mut long, mut wrong) = (Matrix::default(), 0, Vec::new());
    let mut unsure = BTreeMap::<String, u64>::new();
    for part in all {
        m = m + part.matrix;
        long += part.long;
        wrong.extend(part.wrong);
        for (what, n) in part.unsure {
            *unsure.entry(what).or_default() += n;
        }
    }
    wrong.sort_unstable();
    for seed in wrong.into_iter().take(args.show) {
        let small = bench.shrink(&bench.program_of(seed, ty), ty);
        let judged = bench.judge(&small, ty);
        let kernel = if judged.kernel { "accepts" } else { "rejects" };
        eprintln!("==== {ty:?}, seed {seed}: the simulation says {}; the kernel {kernel}", judged.sim);
        for i in 0..small.insns.len() {
            eprintln!("{i:3}: {}", ebpf_asm::show(&small, InsnIdx(i as u32)));
        }
        let lines: Vec<&str> = judged.log.lines().collect();
        for line in &lines[lines.len().saturating_sub(14)..] {
            eprintln!("   | {line}");
        }
        // Programs that use the kernel's own types are judged by them only.
        if let Some(dir) = args.keep.as_ref().filter(|_| !uses_types(&small) && ty != ProgType::Tracing) {
            let path = keep(dir, seed, &small, ty, bench.profile(), judged.kernel)?;
            eprintln!("kept as {}", path.display());
        }
    }
    let name = prog_type(ty).map_or("?", |def| def.name);
    println!(
        "| {name:24} | {} | {} | {} | {} | {} | {} | {long} | {:.0} |",
        m.both_accept,
        m.both_reject,
        m.wrong_accept,
        m.wrong_reject,
        m.unsure_accept,
        m.unsure_reject,
        args.count as f64 / began.elapsed().as_secs_f64()
    );
    for (what, n) in unsure {
        eprintln!("  unsure {n}: {what}");
    }
    Ok(m.wrong_accept + m.wrong_reject)
}

/// Whether a program calls functions of the kernel.
fn uses_types(p: &Program) -> bool {
    p.insns.iter().any(|insn| matches!(insn, Insn::Call(Callee::Kfunc { .. })))
}
