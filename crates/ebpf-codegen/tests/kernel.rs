//! The running kernel's verifier as judge of what the back end makes. Skipped, with a message, without the right to
//! load programs.

mod support;

use bpf_facts::{Arch, KernelProfile, MapType, ProgType, V};
use bpf_syscall::{
    BtfFd, FuncInfo, Kernel, LinuxKernel, LogLevel, MapCreate, MapFd, PROG_SLEEPABLE, ProgBtf, ProgFd,
    ProgLoad, TestRun, UpdateMode,
};
use ebpf_asm::MapRef;
use ebpf_codegen::frame::Scratch;
use ebpf_codegen::{Compiled, Env, Options, Stage, compile, dump, ir};
use hark_btf::{Endian, Linkage};
use proptest::prelude::{ProptestConfig, any, prop_assert_eq};
use proptest::test_runner::TestRunner;
use std::os::fd::AsRawFd;
use support::eval;
use support::generate::{CTX_BYTES, Flavour, function};

struct Lab {
    kernel: LinuxKernel,
    profile: KernelProfile,
    maps: Vec<MapFd>,
    scratch: Scratch,
}

/// `m0`: hash of 16-byte keys and 8-byte values, `m1`: ring buffer, `m2`: per-CPU hash, `m3`: array of one 64-byte
/// value, `m4`: per-CPU scratch.
fn lab() -> Option<Lab> {
    let kernel = LinuxKernel::new().ok()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let profile = KernelProfile::of(V::parse(&release)?, Arch::X86_64);
    let make = |name, ty, key, value, max| kernel.map_create(&MapCreate::new(name, ty, key, value, max));
    let maps = [
        make("hash", MapType::Hash, 16, 8, 64),
        make("ring", MapType::Ringbuf, 0, 0, 1 << 16),
        make("percpu", MapType::PercpuHash, 8, 16, 64),
        make("array", MapType::Array, 4, 64, 1),
        make("scratch", MapType::PercpuArray, 4, 8192, 3),
    ];
    let maps: Result<Vec<MapFd>, _> = maps.into_iter().collect();
    match maps {
        Ok(maps) => Some(Lab { kernel, profile, maps, scratch: Scratch::exclusive(MapRef(4)) }),
        Err(e) => {
            eprintln!("skipped: no maps can be created here: {e}");
            None
        }
    }
}

impl Lab {
    fn env(&self, prog: ProgType) -> Env {
        Env { profile: self.profile.clone(), prog, scratch: self.scratch }
    }

    /// Compiles and loads; shows everything if the kernel refuses.
    #[track_caller]
    fn load(&self, prog: ProgType, text: &str, options: &Options) -> (ProgFd, Compiled) {
        let module = ir::parse::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        self.load_module(prog, &module, options)
    }

    #[track_caller]
    fn load_module(&self, prog: ProgType, module: &ir::Module, options: &Options) -> (ProgFd, Compiled) {
        let env = self.env(prog);
        let compiled = compile(module, &env, options).unwrap_or_else(|e| panic!("{e}\n{module}"));
        let maps = |map: MapRef| self.maps[map.0 as usize].as_raw_fd();
        let code = ebpf_asm::encode(&compiled.program, &maps).expect("the program can be encoded");
        let mut load = ProgLoad::new("codegen", prog, &code);
        load.log = LogLevel::None;
        if prog == ProgType::Syscall {
            load.flags = PROG_SLEEPABLE;
        }
        let types = self.types(&compiled);
        if let Some((btf, func_info)) = &types {
            load.btf = Some(ProgBtf { btf, func_info, line_info: &[] });
        }
        match self.kernel.prog_load(&load) {
            Ok(loaded) => (loaded.prog, compiled),
            Err(e) => {
                let regalloc = dump(module, &env, options, Stage::Regalloc).expect("it compiled before");
                panic!("{}\n{}\n{regalloc}\n{}", e.error, e.log.text, compiled.program);
            }
        }
    }

    /// Callbacks need type information: every function is `int f(void)`.
    fn types(&self, compiled: &Compiled) -> Option<(BtfFd, Vec<FuncInfo>)> {
        if compiled.functions.len() < 2 {
            return None;
        }
        let mut types = hark_btf::Builder::new(Endian::Little);
        let int = types.int("int", 4, true);
        let slots = compiled.program.slots();
        let mut rows = Vec::new();
        for (name, start) in &compiled.functions {
            let proto = types.func_proto(int, &[]);
            let id = types.func(name, proto, Linkage::Static);
            let at = slots.slot_of(*start).expect("a function begins at an instruction");
            rows.push(FuncInfo { insn_off: at.0, type_id: id.0 });
        }
        Some((self.kernel.btf_load(&types.build()).expect("the types are right"), rows))
    }

    /// Loads with and without optimisation.
    #[track_caller]
    fn accepts(&self, prog: ProgType, text: &str) -> Compiled {
        self.load(prog, text, &Options { disabled_passes: vec!["all".to_string()], ..Options::default() });
        self.load(prog, text, &Options::default()).1
    }

    /// Runs a `syscall` program and gives what it left in the first bytes of `m3`.
    #[track_caller]
    fn run(&self, text: &str, optimise: bool) -> u64 {
        let disabled_passes = if optimise { vec![] } else { vec!["all".to_string()] };
        let (prog, _) =
            self.load(ProgType::Syscall, text, &Options { disabled_passes, ..Options::default() });
        self.run_loaded(&prog, &[])
    }

    fn run_loaded(&self, prog: &ProgFd, ctx: &[u8]) -> u64 {
        let key = 0u32.to_le_bytes();
        self.kernel
            .map_update(&self.maps[3], &key, &[0; 64], UpdateMode::Any)
            .expect("the array can be written");
        self.kernel.prog_test_run(prog, &TestRun { ctx, ..TestRun::default() }).expect("the program runs");
        let mut value = [0; 64];
        self.kernel.map_lookup(&self.maps[3], &key, &mut value).expect("the array can be read");
        u64::from_le_bytes(value[..8].try_into().expect("8 bytes"))
    }
}

/// `@[comm] = count()` on a hash.
const COUNT: &str = "
fn count(v0: ptr) {
    ss0: 16
    ss1: 8
b0(v0):
    v1 = slot_addr ss0
    mem_zero v1, 16
    v2 = iconst 16
    v30 = call get_current_comm(v1, v2)
    v3 = map m0
    v4 = call map_lookup_elem(v3, v1)
    v5 = iconst 0
    br.ne v4, v5, b1, b2
b1:
    v6 = iconst 1
    atomic.add.64 v6, v4
    jump b3
b2 cold:
    v7 = slot_addr ss1
    v8 = iconst 1
    store.64 v8, v7
    v9 = call map_update_elem(v3, v1, v7, v8)
    jump b3
b3:
    ret v5
}";

#[test]
fn a_count_by_name() {
    let Some(lab) = lab() else { return };
    let compiled = lab.accepts(ProgType::Tracepoint, COUNT);
    assert!(compiled.stats.insns <= 30, "{}\n{}", compiled.stats.insns, compiled.program);
    assert_eq!(compiled.stats.spills, 0);
}

#[test]
fn an_event_into_the_ring_buffer() {
    let Some(lab) = lab() else { return };
    let text = "
fn event(v0: ptr) {
b0(v0):
    v1 = map m1
    v2 = iconst 40
    v3 = iconst 0
    v4 = call ringbuf_reserve(v1, v2, v3)
    br.eq v4, v3, b2, b1
b1:
    v5 = call get_current_pid_tgid()
    v6 = iconst 32
    v7 = lshr v5, v6
    store.64 v7, v4
    v8 = call ktime_get_ns()
    store.64 v8, v4+8
    v9 = ptr_off v4, 16
    v10 = iconst 16
    v30 = call get_current_comm(v9, v10)
    v11 = load.u64 v0+8
    store.64 v11, v4+32
    call ringbuf_submit(v4, v3)
    jump b2
b2:
    ret v3
}";
    lab.accepts(ProgType::Tracepoint, text);
}

#[test]
fn kernel_memory_into_slots() {
    let Some(lab) = lab() else { return };
    let text = "
fn reads(v0: ptr) {
    ss0: 8
    ss1: 256
b0(v0):
    v1 = load.u64 v0+112
    v2 = slot_addr ss0
    v3 = iconst 8
    v4 = call probe_read_kernel(v2, v3, v1)
    v5 = load.u64 v2
    v6 = slot_addr ss1
    mem_zero v6, 256
    v7 = iconst 200
    v8 = call probe_read_kernel_str(v6, v7, v5)
    v9 = load.u8 v6
    v10 = load.u8 v6+1
    v11 = add v9, v10
    v12 = iconst 0
    br.sgt v8, v12, b1, b2
b1:
    v13 = map m1
    v14 = iconst 256
    v15 = call ringbuf_output(v13, v6, v14, v12)
    jump b2
b2:
    v16 = and v11, v7
    ret v16
}";
    let compiled = lab.accepts(ProgType::Kprobe, text);
    assert_eq!(compiled.scratch_bytes, 0);
}

#[test]
fn a_bounded_loop() {
    let Some(lab) = lab() else { return };
    let text = "
fn looping(v0: ptr) {
    ss0: 16
b0(v0):
    v1 = iconst 0
    v2 = slot_addr ss0
    mem_zero v2, 16
    v3 = map m0
    jump b1(v1, v1)
b1(v4: i64, v5: i64):
    v6 = iconst 10
    br.ult v4, v6, b2, b5
b2:
    store.64 v4, v2
    v7 = call map_lookup_elem(v3, v2)
    br.eq v7, v1, b4(v5), b3
b3:
    v8 = load.u64 v7
    v9 = add v5, v8
    jump b4(v9)
b4(v10: i64):
    v11 = iconst 1
    v12 = add v4, v11
    jump b1(v12, v10)
b5:
    v13 = map_value m3
    store.64 v5, v13
    ret v1
}";
    lab.accepts(ProgType::Tracepoint, text);
}

#[test]
fn memory_beyond_the_stack_goes_to_scratch() {
    let Some(lab) = lab() else { return };
    let text = "
fn large(v0: ptr) {
    ss0: 1024
    ss1: 600
    ss2: 16
b0(v0):
    v1 = call get_current_pid_tgid()
    v2 = iconst 42
    v3 = iconst 0
    br.eq v1, v2, b1, b2
b1:
    v4 = slot_addr ss0
    v5 = slot_addr ss1
    v6 = slot_addr ss2
    mem_zero v4, 1024
    mem_copy v5, v4, 600, align 8
    mem_copy v6, v5, 16, align 8
    v7 = map m0
    v8 = iconst 0
    v9 = call map_update_elem(v7, v6, v4+0, v8)
    jump b2
b2:
    ret v3
}"
    .replace("v4+0", "v4");
    let compiled = lab.accepts(ProgType::Tracepoint, &text);
    assert!(compiled.scratch_bytes >= 1024);
    assert!(compiled.stats.stack_bytes <= 512);
}

/// A program that may meet itself takes a free piece of memory, gives it back, and does nothing if there is none.
#[test]
fn memory_beyond_the_stack_is_claimed() {
    let Some(mut lab) = lab() else { return };
    lab.scratch = Scratch { map: MapRef(4), first: 1, levels: 2, exhausted: Some((MapRef(3), 8)) };
    let text = "
fn claims(v0: ptr) {
    ss0: 1024
b0(v0):
    v1 = call get_current_pid_tgid()
    v2 = iconst 42
    v3 = iconst 0
    br.eq v1, v2, b2, b1
b1:
    v4 = slot_addr ss0
    v5 = iconst 1024
    v6 = call get_current_comm(v4, v5)
    v7 = load.u64 v4
    v8 = map_value m3
    store.64 v7, v8
    jump b2
b2:
    ret v3
}";
    let (prog, compiled) = lab.load(ProgType::Syscall, text, &Options::default());
    assert!(compiled.scratch_bytes >= 1032);
    let size = lab.maps[4].shape().value_bytes();
    let stride = lab.maps[4].shape().stride();
    let claims = |lab: &Lab| -> Vec<bool> {
        let mut value = vec![0; size];
        let claimed = |index: u32, value: &mut Vec<u8>| {
            lab.kernel.map_lookup(&lab.maps[4], &index.to_le_bytes(), value).expect("the array can be read");
            value.chunks_exact(stride).any(|cpu| cpu[..8] != [0; 8])
        };
        (0..3).map(|index| claimed(index, &mut value)).collect()
    };
    let claim = |lab: &Lab, index: u32| {
        let mut value = vec![0; size];
        value.chunks_exact_mut(stride).for_each(|cpu| cpu[0] = 1);
        let key = index.to_le_bytes();
        lab.kernel.map_update(&lab.maps[4], &key, &value, UpdateMode::Any).expect("the array can be written");
    };
    let exhausted = |lab: &Lab| {
        let mut value = [0; 64];
        lab.kernel.map_lookup(&lab.maps[3], &[0; 4], &mut value).expect("the array can be read");
        value[8]
    };
    assert_ne!(lab.run_loaded(&prog, &[]), 0, "the first is free");
    assert_eq!((claims(&lab), exhausted(&lab)), (vec![false, false, false], 0));
    claim(&lab, 1);
    assert_ne!(lab.run_loaded(&prog, &[]), 0, "the second is free");
    assert_eq!((claims(&lab), exhausted(&lab)), (vec![false, true, false], 0));
    claim(&lab, 2);
    assert_eq!(lab.run_loaded(&prog, &[]), 0, "none is free");
    assert_eq!((claims(&lab), exhausted(&lab)), (vec![false, true, true], 1));
    // The same for a kernel that cannot exchange words.
    lab.profile = KernelProfile::of(V(5, 10), Arch::X86_64);
    let (prog, _) = lab.load(ProgType::Syscall, text, &Options::default());
    assert_eq!((lab.run_loaded(&prog, &[]), exhausted(&lab)), (0, 1));
    lab.kernel
        .map_update(&lab.maps[4], &2u32.to_le_bytes(), &vec![0; size], UpdateMode::Any)
        .expect("written");
    assert_ne!(lab.run_loaded(&prog, &[]), 0, "the second is free again");
    assert_eq!((claims(&lab), exhausted(&lab)), (vec![false, true, false], 0));
}

#[test]
fn a_callback() {
    let Some(lab) = lab() else { return };
    let text = "
fn entry(v0: ptr) {
    ss0: 16
b0(v0):
    v1 = slot_addr ss0
    v2 = iconst 0
    store.64 v2, v1
    store.64 v2, v1+8
    v3 = iconst 100
    v4 = func_addr fn1
    v5 = call loop(v3, v4, v1, v2)
    v6 = load.u64 v1
    v7 = map_value m3
    store.64 v6, v7
    ret v2
}
fn body(v0: i64, v1: ptr) {
    ss0: 400
b0(v0, v1):
    v2 = load.u64 v1
    v3 = add v2, v0
    store.64 v3, v1
    v5 = slot_addr ss0
    mem_zero v5, 400
    v6 = map m0
    v7 = call map_delete_elem(v6, v5)
    v4 = iconst 0
    ret v4
}";
    let compiled = lab.accepts(ProgType::Tracepoint, text);
    assert!(compiled.scratch_bytes >= 400, "the callback's share of the stack is 256 bytes");
    assert_eq!(lab.run(text, true), 4950);
    assert_eq!(lab.run(text, false), 4950);
}

/// Many values at once, across calls.
#[test]
fn more_values_than_registers() {
    let Some(lab) = lab() else { return };
    let mut text = String::from("fn pressure(v0: ptr) {\nb0(v0):\n");
    for i in 1..=20 {
        text += &format!("    v{i} = call get_prandom_u32()\n");
    }
    text += "    v100 = iconst 0\n";
    for i in 1..=20 {
        text += &format!("    v{} = xor v{}, v{}\n", 100 + i, 99 + i, i);
    }
    for i in 1..=20 {
        text += &format!("    v{} = xor v{}, v{}\n", 120 + i, 119 + i, i);
    }
    text += "    v200 = map_value m3\n    store.64 v140, v200\n    v201 = iconst 0\n    ret v201\n}\n";
    assert_eq!(lab.run(&text, false), 0);
    lab.accepts(ProgType::Kprobe, &text);
}

/// The kernel runs random functions with the result that the IR evaluator has.
#[test]
fn random_functions() {
    let Some(lab) = lab() else { return };
    let strategy = (
        proptest::collection::vec(any::<u8>(), 0..300),
        proptest::collection::vec(any::<u8>(), CTX_BYTES),
        any::<bool>(),
    );
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { 2000 } else { 100 };
    let config = ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&strategy, |(bytes, ctx, optimise)| {
        let f = function(&bytes, Flavour::Kernel);
        let want = eval::run(&f, &ctx).expect("the function can be evaluated");
        let mut module = ir::Module::default();
        module.functions.push(f);
        let disabled_passes = if optimise { vec![] } else { vec!["all".to_string()] };
        let options = Options { disabled_passes, ..Options::default() };
        let (prog, _) = lab.load_module(ProgType::Syscall, &module, &options);
        prop_assert_eq!(lab.run_loaded(&prog, &ctx), want.result);
        Ok(())
    });
    if let Err(e) = outcome {
        panic!("{e}");
    }
}
