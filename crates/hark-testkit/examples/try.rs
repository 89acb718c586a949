//! Judges one program in assembly by both verifiers: `try TYPE FILE`.

use bpf_facts::{Arch, KernelProfile, V, prog_type_by_name};
use bpf_syscall::LinuxKernel;
use hark_testkit::agree::Bench;
use verifier_sim::Options;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let ty = prog_type_by_name(&args[1]).expect("a program type").ty;
    let text = std::fs::read_to_string(&args[2])?;
    let p = ebpf_asm::parse(&text).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let kernel = LinuxKernel::new()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let profile = KernelProfile::of(V::parse(&release).expect("a version"), Arch::X86_64);
    let bench = Bench::new(&kernel, profile)?;
    let sim = bench.simulate(&p, ty, &Options { log: true, record: false });
    for line in sim.log.iter().flatten() {
        println!("{}", line.show(&p));
    }
    println!("sim: {sim} {:?}", sim.stats);
    match bench.load_logged(&p, ty) {
        Ok(log) => println!("kernel: accept\n{log}"),
        Err(e) => println!("kernel: {e}\n{}", e.log.text),
    }
    Ok(())
}
