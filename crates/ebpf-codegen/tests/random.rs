//! Properties of the whole back end on random functions.

mod support;

use bpf_facts::{KernelProfile, ProgType};
use ebpf_asm::{MapRef, Reg};
use ebpf_codegen::frame::Scratch;
use ebpf_codegen::ir::{Function, Module, parse, print, validate};
use ebpf_codegen::opt::{self, Log, PASSES, Plan};
use ebpf_codegen::regalloc::{self, Edit};
use ebpf_codegen::{Env, Options, Stage, compile, dump, mir};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use support::generate::{CTX_BYTES, Flavour, function};
use support::memory::Outcome;
use support::{bytecode, eval};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(any::<u8>(), 100..500),
    ]
}

/// `PROPTEST_CASES` may ask for more.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { default } else { ProptestConfig { cases: 60, ..default } }
}

fn context() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], CTX_BYTES)
}

fn evaluate(f: &Function, ctx: &[u8]) -> Outcome {
    eval::run(f, ctx).unwrap_or_else(|e| panic!("{e}\n{f}"))
}

fn module(f: &Function) -> Module {
    let mut m = Module::default();
    m.functions.push(f.clone());
    m
}

fn env(kernel: &str) -> Env {
    let profile = KernelProfile::named(kernel).expect("a named kernel");
    Env { profile, prog: ProgType::Kprobe, scratch: Scratch::exclusive(MapRef(4)) }
}

fn compiled(f: &Function, kernel: &str, disabled: &str, ctx: &[u8]) -> Outcome {
    let options = Options { disabled_passes: vec![disabled.to_string()], ..Options::default() };
    let out = compile(&module(f), &env(kernel), &options).unwrap_or_else(|e| panic!("{e}\n{f}"));
    assert!(out.stats.stack_bytes <= 512, "{}", out.stats.stack_bytes);
    bytecode::run(&out.program, ctx).unwrap_or_else(|e| panic!("{e}\n{f}\n{}", out.program))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn generated_functions_are_valid(bytes in bytes()) {
        let f = function(&bytes, Flavour::Simulated);
        prop_assert_eq!(validate::validate(&f, None), vec![]);
    }

    /// The text of a function says all there is to say about it.
    #[test]
    fn ir_text_is_read_back(bytes in bytes()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let text = print::with_locs(&f);
        let back = parse::parse_function(&text).expect("printed text can be read").compacted();
        prop_assert_eq!(back, f);
    }

    /// So does that of machine code, but for source positions; allocating what was read gives the same.
    #[test]
    fn mir_text_is_read_back(bytes in bytes()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let text = dump(&module(&f), &env("6.1"), &Options::default(), Stage::Mir).expect("it compiles");
        let back = mir::parse::parse(&text).expect("printed text can be read");
        prop_assert_eq!(back.to_string(), text);
        prop_assert_eq!(regalloc::check(&back, &regalloc::allocate(&back).expect("well-formed")), vec![]);
    }

    /// The checker sees when an operand is in a wrong register (a value has copies in a few registers at most), and
    /// when nothing makes the constants that are wanted.
    #[test]
    fn wrong_allocations_are_found(bytes in bytes(), n in any::<u16>()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let text = dump(&module(&f), &env("6.1"), &Options::default(), Stage::Mir).expect("it compiles");
        let machine = mir::parse::parse(&text).expect("printed text can be read");
        let right = regalloc::allocate(&machine).expect("well-formed");
        let mut sites = Vec::new();
        for (b, block) in right.blocks.iter().enumerate() {
            let used = block.operands.iter().enumerate().filter(|(_, o)| o.uses[0].is_some());
            sites.extend(used.map(|(i, _)| (b, i)));
        }
        let (b, i) = sites[usize::from(n) % sites.len()];
        let found = (0..10).filter_map(Reg::new).filter(|r| {
            let mut wrong = right.clone();
            wrong.blocks[b].operands[i].uses[0] = Some(*r);
            !regalloc::check(&machine, &wrong).is_empty()
        });
        prop_assert!(found.count() >= 6, "b{b} instruction {i}\n{text}");
        let mut bare = right.clone();
        let mut makes = 0;
        for block in &mut bare.blocks {
            makes += block.edits.iter().filter(|(_, e)| matches!(e, Edit::Make { .. })).count();
            block.edits.retain(|(_, e)| !matches!(e, Edit::Make { .. }));
        }
        prop_assert!(makes == 0 || !regalloc::check(&machine, &bare).is_empty(), "{text}");
    }

    /// Each pass alone leaves a valid function that does the same.
    #[test]
    fn passes_keep_the_meaning(bytes in bytes(), ctx in context()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let want = evaluate(&f, &ctx);
        let profile = KernelProfile::named("6.1").expect("a named kernel");
        let plan = Plan { profile: &profile, disabled: &[] };
        for pass in PASSES {
            let mut g = f.clone();
            opt::run_pass(pass, &mut g, &plan, &mut Log::new(None));
            let got = evaluate(&g, &ctx);
            prop_assert!(got == want, "{}: {got:?} instead of {want:?}\n{f}\nbecomes\n{g}", pass.name);
        }
    }

    /// So do all of them together.
    #[test]
    fn the_optimiser_keeps_the_meaning(bytes in bytes(), ctx in context()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let want = evaluate(&f, &ctx);
        let profile = KernelProfile::named("6.18").expect("a named kernel");
        let mut g = f.clone();
        opt::run(&mut g, &Plan { profile: &profile, disabled: &[] }, &mut Log::new(None));
        prop_assert_eq!(evaluate(&g, &ctx), want, "{}\nbecomes\n{}", f, g);
    }

    /// Bytecode does what the IR says, for old and new kernels, optimised or not. (In debug builds, `compile` also
    /// checks every allocation.)
    #[test]
    fn bytecode_keeps_the_meaning(bytes in bytes(), ctx in context(), new in any::<bool>(), optimise in any::<bool>()) {
        let f = function(&bytes, Flavour::Simulated).compacted();
        let want = evaluate(&f, &ctx);
        let got = compiled(&f, if new { "6.18" } else { "5.15" }, if optimise { "" } else { "all" }, &ctx);
        prop_assert_eq!(got, want, "{}", f);
    }
}
