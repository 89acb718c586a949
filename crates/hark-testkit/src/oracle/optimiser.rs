//! Random functions through the optimiser and the back end.

use super::Finding;
use bpf_facts::{KernelProfile, MapType, ProgType};
use bpf_syscall::{Kernel, MapCreate, ProgLoad, UpdateMode};
use ebpf_asm::{MapRef, encode};
use ebpf_codegen::ir::{Function, Module, validate};
use ebpf_codegen::opt::{self, Log, PASSES, Plan};
use ebpf_codegen::{Env, Options, compile};
use ebpf_interp::{SimClock, SimKernel, Task};
use machine::generate::{CTX_BYTES, Flavour, function};
use machine::memory::Outcome;
use machine::{bytecode, eval};
use std::os::fd::AsRawFd;

/// The machines that the back end's own tests judge it by.
#[path = "../../../ebpf-codegen/tests/support/mod.rs"]
mod machine;

/// Generates a function and its context, and compares what it does: as IR; after each pass alone and after all of
/// them; as bytecode for old and new kernels, optimised or not, in two machines.
///
/// # Errors
/// Where it does something else.
pub fn optimiser(bytes: &[u8]) -> Finding {
    let (head, body) = bytes.split_at(bytes.len().min(CTX_BYTES));
    let mut ctx = head.to_vec();
    ctx.resize(CTX_BYTES, 0);
    let f = function(body, Flavour::Simulated).compacted();
    let invalid = validate::validate(&f, None);
    if !invalid.is_empty() {
        return Err(format!("the generator makes an invalid function: {invalid:?}\n{f}"));
    }
    let want =
        eval::run(&f, &ctx).map_err(|e| format!("the generator makes a function that traps: {e}\n{f}"))?;
    for kernel in ["5.15", "6.18"] {
        let profile = KernelProfile::named(kernel).expect("a version");
        let plan = Plan { profile: &profile, disabled: &[] };
        for pass in PASSES {
            let mut g = f.clone();
            opt::run_pass(pass, &mut g, &plan, &mut Log::new(None));
            same(&format!("pass {} for {kernel}", pass.name), &f, &want, eval::run(&g, &ctx))?;
        }
        let mut g = f.clone();
        opt::run(&mut g, &plan, &mut Log::new(None));
        same(&format!("all passes for {kernel}"), &f, &want, eval::run(&g, &ctx))?;
        for disabled in ["", "all"] {
            let mut module = Module::default();
            module.functions.push(f.clone());
            let env = Env {
                profile: profile.clone(),
                prog: ProgType::Kprobe,
                scratch: ebpf_codegen::frame::Scratch::exclusive(MapRef(4)),
            };
            let options = Options { disabled_passes: vec![disabled.to_owned()], ..Options::default() };
            let out = compile(&module, &env, &options).map_err(|e| format!("does not compile: {e}\n{f}"))?;
            if out.stats.stack_bytes > 512 {
                return Err(format!("{} bytes of stack\n{f}", out.stats.stack_bytes));
            }
            let what = format!("bytecode for {kernel}, disabled: {disabled:?}\n{}", out.program);
            same(&what, &f, &want, bytecode::run(&out.program, &ctx))?;
        }
    }
    in_simulated_kernel(body, &ctx)
}

fn same(what: &str, f: &Function, want: &Outcome, got: Result<Outcome, String>) -> Finding {
    match got {
        Ok(got) if got == *want => Ok(()),
        got => Err(format!("{what}: {got:?}, not {want:?}\n{f}")),
    }
}

/// The array that functions leave their result in.
const ARRAY: u32 = 3;

/// The flavour that the kernel runs, with and without optimisation in hark's machine: the array at the end is the same.
fn in_simulated_kernel(bytes: &[u8], ctx: &[u8]) -> Finding {
    let f = function(bytes, Flavour::Kernel).compacted();
    let profile = KernelProfile::named("6.18").expect("a version");
    let mut seen = Vec::new();
    for disabled in ["", "all"] {
        let mut module = Module::default();
        module.functions.push(f.clone());
        let env = Env {
            profile: profile.clone(),
            prog: ProgType::Syscall,
            scratch: ebpf_codegen::frame::Scratch::exclusive(MapRef(4)),
        };
        let options = Options { disabled_passes: vec![disabled.to_owned()], ..Options::default() };
        let out = compile(&module, &env, &options).map_err(|e| format!("does not compile: {e}\n{f}"))?;
        let failed = |what: String| format!("disabled: {disabled:?}: {what}\n{f}\n{}", out.program);
        let kernel =
            SimKernel::new(1, Task::default(), SimClock::Set { ns: 1 << 40 }).map_err(|e| e.to_string())?;
        let make = |name, ty, key, value, max| kernel.map_create(&MapCreate::new(name, ty, key, value, max));
        let maps = [
            make("hash", MapType::Hash, 16, 8, 64),
            make("ring", MapType::Ringbuf, 0, 0, 1 << 16),
            make("percpu", MapType::PercpuHash, 8, 16, 64),
            make("array", MapType::Array, 4, 64, 1),
            make("scratch", MapType::PercpuArray, 4, 8192, 1),
        ]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
        let slots = encode(&out.program, &|map| maps[map.0 as usize].as_raw_fd())
            .map_err(|e| failed(format!("cannot be encoded: {e:?}")))?;
        let loaded = kernel
            .prog_load(&ProgLoad::new("random", ProgType::Syscall, &slots))
            .map_err(|e| failed(e.to_string()))?;
        let array = &maps[ARRAY as usize];
        kernel.map_update(array, &[0; 4], &[0; 64], UpdateMode::Any).map_err(|e| e.to_string())?;
        let run = bpf_syscall::TestRun { ctx, ..bpf_syscall::TestRun::default() };
        kernel.prog_test_run(&loaded.prog, &run).map_err(|e| failed(e.to_string()))?;
        let mut value = [0; 64];
        kernel.map_lookup(array, &[0; 4], &mut value).map_err(|e| e.to_string())?;
        seen.push(value);
    }
    if seen[0] == seen[1] {
        return Ok(());
    }
    Err(format!("optimised it leaves {:?}, else {:?}\n{f}", seen[0], seen[1]))
}
