//! Compares the simulated verifier with the running kernel's on generated programs:
//! `agree [--type NAME]… [--seed FIRST] [--count N] [--show N] [--keep DIR]`. `cargo xtask agree` runs it.

use anyhow::Context;
use bpf_facts::{Arch, KernelProfile, ProgType, V, prog_type, prog_type_by_name};
use bpf_syscall::LinuxKernel;
use ebpf_asm::InsnIdx;
use hark_testkit::agree::keep::keep;
use hark_testkit::agree::{Bench, Matrix, program_of};
use std::collections::BTreeMap;
use std::path::PathBuf;
use verifier_sim::Options;

/// The program types whose programs load without a target.
const TYPES: &[ProgType] = &[
    ProgType::Kprobe,
    ProgType::Tracepoint,
    ProgType::RawTracepoint,
    ProgType::PerfEvent,
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
}

fn args() -> anyhow::Result<Args> {
    let mut args = Args { types: Vec::new(), seed: 1, count: 1000, show: 3, keep: None };
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
    let bench = Bench::new(&kernel, KernelProfile::of(version, Arch::X86_64))?;
    println!(
        "| {:24} | accept | reject | wrong accept | wrong reject | unsure, accept | unsure, reject | left out |",
        "type"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut wrong = 0;
    for ty in &args.types {
        wrong += compare(&bench, *ty, version, &args)?;
    }
    anyhow::ensure!(wrong == 0, "{wrong} programs are judged differently");
    Ok(())
}

fn compare(bench: &Bench<'_>, ty: ProgType, version: V, args: &Args) -> anyhow::Result<u64> {
    let mut m = Matrix::default();
    let (mut shown, mut long) = (0, 0);
    let mut unsure = BTreeMap::<String, u64>::new();
    for seed in args.seed..args.seed + args.count {
        let p = program_of(seed, ty, version);
        let sim = bench.simulate(&p, ty, &Options::default());
        if sim.stats.processed > MAX_WALKED {
            long += 1;
            continue;
        }
        let judged = bench.judge(&p, ty);
        m.add(&judged);
        if let Some((_, what)) = &judged.sim.unsure {
            *unsure.entry(what.clone()).or_default() += 1;
        }
        if !judged.disagree() || shown >= args.show {
            continue;
        }
        shown += 1;
        let small = bench.shrink(&p, ty);
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
        if let Some(dir) = &args.keep {
            let profile = KernelProfile::of(version, Arch::X86_64);
            eprintln!("kept as {}", keep(dir, seed, &small, ty, &profile, judged.kernel)?.display());
        }
    }
    let name = prog_type(ty).map_or("?", |def| def.name);
    println!(
        "| {name:24} | {} | {} | {} | {} | {} | {} | {long} |",
        m.both_accept, m.both_reject, m.wrong_accept, m.wrong_reject, m.unsure_accept, m.unsure_reject
    );
    for (what, n) in unsure {
        eprintln!("  unsure {n}: {what}");
    }
    Ok(m.wrong_accept + m.wrong_reject)
}
