//! Properties of the whole back end on random functions.

mod support;

use bpf_facts::{KernelProfile, ProgType};
use ebpf_asm::MapRef;
use ebpf_codegen::ir::{Function, Module, parse, print, validate};
use ebpf_codegen::opt::{self, Log, PASSES, Plan};
use ebpf_codegen::{Env, Options, compile};
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
    if asked { default } else { ProptestConfig { cases: 150, ..default } }
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
    Env { profile, prog: ProgType::Kprobe, scratch: MapRef(4) }
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
