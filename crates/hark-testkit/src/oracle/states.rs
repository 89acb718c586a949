//! What the simulated verifier knows, against what happens.

use super::Finding;
use super::verdict::listing;
use crate::agree::rng::Rng;
use crate::agree::{functions, generate, maps};
use bpf_facts::{Arch, KernelProfile, ProgType, ctx_layout};
use bpf_syscall::{Kernel, ProgLoad, UpdateMode};
use ebpf_asm::{Callee, Insn, MapRef, Program, encode};
use ebpf_interp::{SimClock, SimKernel, Task, TrapKind};
use std::os::fd::AsRawFd;
use verifier_sim::{Options, ProgEnv, Snapshot, Verdict, verify};

/// Types whose context is bytes that the interpreter can be given as they are.
const TYPES: [ProgType; 4] =
    [ProgType::Kprobe, ProgType::Tracepoint, ProgType::RawTracepoint, ProgType::PerfEvent];
/// CPUs there are.
const CPUS: u32 = 2;
/// Instructions a run may take.
const FUEL: u64 = 20_000;
/// Programs whose simulation takes more instructions are left out: all states are kept.
const MOST: u64 = 4000;
/// Runs of each program, with other contexts and map contents.
const RUNS: usize = 3;

/// Generates a program; if it is accepted, runs it and compares every step with the states of the walk.
///
/// # Errors
/// If it traps, or holds what no state admits.
pub fn states(bytes: &[u8]) -> Finding {
    let mut rng = Rng::from_bytes(bytes);
    let ty = *rng.pick(&TYPES);
    let profile = KernelProfile::named("6.18").expect("a version");
    let program = generate::program(&mut rng, ty, profile.version);
    observe(&program, ty, &profile, &mut rng)
}

/// Verifies a program and, if it is accepted, watches it run.
pub(super) fn observe(program: &Program, ty: ProgType, profile: &KernelProfile, rng: &mut Rng) -> Finding {
    let shapes = maps::shapes();
    let funcs = functions(program);
    let mut env = ProgEnv::new(ty, &shapes);
    env.funcs = &funcs;
    env.n_cpus = Some(CPUS);
    let quick = verify(program, &env, profile, &Options::default());
    if quick.verdict != Verdict::Accept || quick.stats.processed > MOST {
        return Ok(());
    }
    let report = verify(program, &env, profile, &Options { record: true, log: false });
    let Some(known) = report.states.filter(|_| report.verdict == Verdict::Accept) else {
        // Keeping every state takes more than the limits permit.
        return Ok(());
    };
    let failed = |what: String| format!("{ty:?}: {what}\n{}", listing(program));
    let kernel =
        SimKernel::new(CPUS, Task { pid: 7, tid: 8, ..Task::default() }, SimClock::Set { ns: 1 << 40 })
            .map_err(|error| error.to_string())?;
    kernel.set_fuel(FUEL);
    // Some kinds of maps are not simulated; programs that use them are left out.
    let mut fds = Vec::new();
    for (i, shape) in shapes.iter().enumerate() {
        let fd = maps::create_one(&kernel, i, shape);
        if fd.is_err() && uses(program, i) {
            return Ok(());
        }
        fds.push(fd.ok());
    }
    let fd_of = |map: MapRef| fds[map.0 as usize].as_ref().map_or(-1, |fd| fd.as_raw_fd());
    let slots = encode(program, &fd_of).map_err(|error| failed(format!("cannot be encoded: {error:?}")))?;
    let loaded =
        kernel.prog_load(&ProgLoad::new("observed", ty, &slots)).map_err(|e| failed(e.to_string()))?;
    let layout = ctx_layout(ty, Arch::X86_64);
    let size = layout.map_or(96, |layout| (layout.size as usize).max(96));
    for _ in 0..RUNS {
        let ctx: Vec<u8> = (0..size).map(|_| if rng.chance(60) { 0 } else { rng.any() as u8 }).collect();
        fill(&kernel, &fds, &shapes, rng);
        let mut finding = None;
        let (mut steps, mut first, mut last) = (0, [0; 11], [0; 11]);
        let result = kernel.observe(&loaded.prog, &ctx, &[], &mut |seen| {
            steps += 1;
            last.copy_from_slice(seen.regs);
            if steps == 1 {
                first = last;
            }
            if finding.is_some() {
                return;
            }
            let mut regs = [0; 11];
            regs.copy_from_slice(seen.regs);
            let stack: Vec<u8> = seen.stack.iter().rev().copied().collect();
            if let Err(mismatch) = known.admits(seen.at, &Snapshot { regs, stack }) {
                finding = Some(format!("step {steps}: {mismatch}"));
            }
        });
        if let Some(finding) = finding {
            return Err(failed(finding));
        }
        if result.is_err() {
            match kernel.last_trap() {
                // Of some contexts the verifier lets programs read what lies before, which is not there here.
                Some(trap)
                    if layout.is_some_and(|layout| layout.below)
                        && reads_before(&program.insns[trap.at.0 as usize], &last, first[1]) =>
                {
                    return Ok(());
                }
                Some(trap)
                    if !matches!(
                        trap.kind,
                        TrapKind::Helper(_) | TrapKind::Fuel | TrapKind::Unsupported(_)
                    ) =>
                {
                    return Err(failed(format!("accepted, and traps at {trap}")));
                }
                _ => return Ok(()),
            }
        }
    }
    Ok(())
}

/// Whether an instruction reads, with these registers, what lies before `ctx`.
fn reads_before(insn: &Insn, regs: &[u64; 11], ctx: u64) -> bool {
    let Insn::Load { base, off, .. } = insn else { return false };
    let at = regs[usize::from(base.index())].wrapping_add_signed(i64::from(*off));
    (1..=1 << 16).contains(&ctx.wrapping_sub(at))
}

fn uses(program: &Program, map: usize) -> bool {
    let wanted = MapRef(map as u32);
    program.insns.iter().any(|insn| match insn {
        Insn::LoadImm64 { imm: ebpf_asm::Imm64::MapFd(map) | ebpf_asm::Imm64::MapValue(map, _), .. } => {
            *map == wanted
        }
        Insn::Call(Callee::Kfunc { .. }) => true,
        _ => false,
    })
}

/// Puts numbers into maps, so that look-ups find something.
fn fill(
    kernel: &SimKernel,
    fds: &[Option<bpf_syscall::MapFd>],
    shapes: &[verifier_sim::MapShape],
    rng: &mut Rng,
) {
    for (fd, shape) in fds.iter().zip(shapes) {
        let Some(fd) = fd.as_ref().filter(|_| shape.key_size > 0 && !shape.frozen) else { continue };
        for n in 0..2u64 {
            let mut key = vec![0; shape.key_size as usize];
            let len = key.len().min(8);
            key[..len].copy_from_slice(&n.to_le_bytes()[..len]);
            let value: Vec<u8> = (0..fd.shape().value_bytes())
                .map(|_| if rng.chance(50) { 0 } else { rng.any() as u8 })
                .collect();
            // A map that cannot be written stays as it is.
            let _ = kernel.map_update(fd, &key, &value, UpdateMode::Any);
        }
    }
}
