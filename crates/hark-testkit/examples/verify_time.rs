//! How long both verifiers take over the programs of scripts: `verify_time FILE.bt…`, as rows of a table.
//! `cargo xtask bench verify` runs it, as root.

use anyhow::Context;
use bpf_facts::{Arch, KernelProfile, V};
use bpf_syscall::{Kernel, LinuxKernel, LogLevel};
use hark_btf::Btf;
use hark_compiler::{KernelTypes, Options, Target, compile, verify_object};
use hark_diag::SourceMap;
use hark_runtime::{Maps, RunFacts, load_program_logged};
use probe_attach::HostCatalog;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Each is measured so often, and the quickest counts.
const ROUNDS: usize = 7;
/// Scripts with more programs say no more.
const MOST_PROGRAMS: usize = 64;

fn main() -> anyhow::Result<()> {
    let kernel = LinuxKernel::new()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let target = Target {
        profile: KernelProfile::of(V::parse(&release).context("a version")?, Arch::X86_64),
        btf: KernelTypes::ready(Btf::parse(std::fs::read("/sys/kernel/btf/vmlinux")?)?),
        catalog: Arc::new(HostCatalog::new()),
        n_cpus: kernel.n_possible_cpus(),
        pid_namespace: false,
    };
    let (mut all_ours, mut all_theirs, mut slower) = (Duration::ZERO, Duration::ZERO, 0);
    let (mut ratios, mut left_out) = (Vec::new(), Vec::new());
    for file in std::env::args().skip(1) {
        let name = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match measure(&kernel, &target, &file) {
            Ok((programs, processed, ours, theirs)) => {
                let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
                let us = |time: Duration| time.as_secs_f64() * 1e6;
                println!(
                    "| {name} | {programs} | {processed} | {:.0} | {:.0} | {ratio:.2} |",
                    us(ours),
                    us(theirs)
                );
                all_ours += ours;
                all_theirs += theirs;
                slower += u32::from(ratio > 1.0);
                ratios.push(ratio.ln());
            }
            Err(why) => left_out.push(format!("{name} ({why})")),
        }
    }
    anyhow::ensure!(!ratios.is_empty(), "no script could be measured: {}", left_out.join(", "));
    let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
    println!(
        "| all | | | {:.0} | {:.0} | {:.2} |",
        all_ours.as_secs_f64() * 1e6,
        all_theirs.as_secs_f64() * 1e6,
        all_ours.as_secs_f64() / all_theirs.as_secs_f64()
    );
    println!("\n{} scripts, geometric mean of the ratios {mean:.2}, above 1 for {slower}.", ratios.len());
    if !left_out.is_empty() {
        println!("\nNot loaded here: {}.", left_out.join(", "));
    }
    Ok(())
}

/// Programs, instructions that the kernel processes, the simulation's time and the kernel's own.
fn measure(
    kernel: &LinuxKernel,
    target: &Target,
    file: &str,
) -> anyhow::Result<(usize, u64, Duration, Duration)> {
    let text = std::fs::read_to_string(file)?;
    let mut sources = SourceMap::default();
    let id = sources.add(file, &*text);
    let options = Options { allow_unsafe: true, ..Options::default() };
    let object = compile(&sources, id, target, &options)
        .map_err(|diags| anyhow::anyhow!("{}", diags.first().map_or("?", |diag| &diag.message)))?
        .object;
    anyhow::ensure!(!object.programs.is_empty(), "no programs");
    anyhow::ensure!(object.programs.len() <= MOST_PROGRAMS, "more than {MOST_PROGRAMS} programs");
    let maps = Maps::create(kernel, &object, RunFacts::default())?;
    let (mut ours, mut theirs, mut processed) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        black_box(verify_object(black_box(&object), target));
        ours = ours.min(began.elapsed());
        let mut sum = Duration::ZERO;
        processed = 0;
        for program in &object.programs {
            let loaded = load_program_logged(kernel, &object, &maps, program, LogLevel::Stats)?;
            processed += loaded.log.processed().unwrap_or(0);
            sum += verification_time(&loaded.log.text).context("a log without the time")?;
        }
        theirs = theirs.min(sum);
    }
    Ok((object.programs.len(), processed, ours, theirs))
}

/// `verification time 17 usec`
fn verification_time(log: &str) -> Option<Duration> {
    let rest = log.lines().find_map(|line| line.strip_prefix("verification time "))?;
    Some(Duration::from_micros(rest.split(' ').next()?.parse::<u64>().ok()?.max(1)))
}
