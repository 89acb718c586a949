//! Compares the simulated verifier with the running kernel's: `agree TYPE FIRST_SEED COUNT [SHOW]`.

use bpf_facts::{Arch, KernelProfile, V, prog_type_by_name};
use bpf_syscall::LinuxKernel;
use ebpf_asm::InsnIdx;
use hark_testkit::agree::{Bench, Matrix, program_of};
use verifier_sim::Options;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let ty = prog_type_by_name(&args[1]).expect("a program type").ty;
    let first: u64 = args[2].parse()?;
    let count: u64 = args[3].parse()?;
    let show: usize = args.get(4).map_or(Ok(3), |s| s.parse())?;
    let kernel = LinuxKernel::new()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = V::parse(&release).expect("a version");
    let profile = KernelProfile::of(version, Arch::X86_64);
    let bench = Bench::new(&kernel, profile)?;
    let mut matrix = Matrix::default();
    let mut shown = 0;
    let mut long = 0;
    let mut findings = std::collections::BTreeMap::new();
    let mut unsure = std::collections::BTreeMap::<String, u64>::new();
    for seed in first..first + count {
        let p = program_of(seed, ty, version);
        let sim = bench.simulate(&p, ty, &Options::default());
        if sim.stats.processed > 20_000 {
            long += 1;
            continue;
        }
        *findings.entry(sim.findings.first().map_or("accept", |f| f.rule.name())).or_insert(0u64) += 1;
        let judged = bench.judge(&p, ty);
        matrix.add(&judged);
        if let Some((_, what)) = &judged.sim.unsure {
            *unsure.entry(what.clone()).or_default() += 1;
        }
        if judged.disagree() && shown < show {
            shown += 1;
            let small = bench.shrink(&p, ty);
            let judged = bench.judge(&small, ty);
            println!(
                "==== seed {seed}: sim {}; kernel {}",
                judged.sim,
                if judged.kernel { "accepts" } else { "rejects" }
            );
            for i in 0..small.insns.len() {
                println!("{i:3}: {}", ebpf_asm::show(&small, InsnIdx(i as u32)));
            }
            if !judged.kernel {
                let tail: Vec<&str> = judged.log.lines().rev().take(14).collect();
                for line in tail.iter().rev() {
                    println!("   | {line}");
                }
            } else {
                let log =
                    bench.simulate(&small, ty, &Options { log: true, record: false }).log.unwrap_or_default();
                for line in &log[log.len().saturating_sub(12)..] {
                    println!("   sim | {}", line.show(&small));
                }
            }
        }
    }
    println!("{}: {matrix:?} long {long}", args[1]);
    println!("{findings:?}");
    for (what, n) in unsure {
        println!("  unsure {n}: {what}");
    }
    Ok(())
}
