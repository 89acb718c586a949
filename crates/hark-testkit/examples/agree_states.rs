//! Compares what both verifiers know after each instruction: `agree_states TYPE FIRST_SEED COUNT [SHOW]`.

use bpf_facts::{Arch, KernelProfile, V, prog_type_by_name};
use bpf_syscall::LinuxKernel;
use ebpf_asm::InsnIdx;
use hark_testkit::agree::{Bench, program_of, states, without};
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
    let options = Options { log: true, record: false };
    let difference = |p: &ebpf_asm::Program| {
        let sim = bench.simulate(p, ty, &options);
        if sim.stats.processed > 500 {
            return None;
        }
        let log = bench.load_logged(p, ty).ok()?;
        states::compare(p, sim.log.as_deref()?, &log)
    };
    let (mut compared, mut different) = (0, 0);
    for seed in first..first + count {
        let p = program_of(seed, ty, version);
        compared += 1;
        if difference(&p).is_none() {
            continue;
        }
        different += 1;
        if different > show {
            continue;
        }
        let mut small = p;
        while let Some(q) =
            (0..small.insns.len()).rev().find_map(|i| without(&small, i).filter(|q| difference(q).is_some()))
        {
            small = q;
        }
        println!("==== seed {seed}: {}", difference(&small).expect("it differs"));
        for i in 0..small.insns.len() {
            println!("{i:3}: {}", ebpf_asm::show(&small, InsnIdx(i as u32)));
        }
    }
    println!("{}: {different} of {compared} differ", args[1]);
    Ok(())
}
