//! `begin`, `end`, `self:signal:…`, `test:…`, `bench:…`: run by hark itself, not attached.

use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad};
use crate::target::Target;
use bpf_facts::ProgType;
use hark_diag::Diagnostic;
use hark_object::{CatalogError, ProbeSpec};

/// Programs of raw tracepoints are what `BPF_PROG_TEST_RUN` runs with all tracing helpers.
fn context(probe_type: &'static str, name: String) -> Context {
    // A signal comes while other programs run; the others run before anything is attached, or after.
    let preemptible = probe_type == "self";
    Context { preemptible, ..Context::plain(probe_type, name, ProgType::RawTracepoint) }
}

/// `begin`
pub(super) struct Begin;

impl ProbeKind for Begin {
    fn name(&self) -> &'static str {
        "begin"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    fn syntax(&self) -> &'static str {
        "begin"
    }
    fn doc(&self) -> &'static str {
        "Runs once before any other probe is attached."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        if ap.args.is_empty() { Ok(ProbeSpec::Begin) } else { Err(bad(ap, self, "begin takes no arguments")) }
    }
    fn full_name(&self, _: &ProbeSpec) -> String {
        "begin".into()
    }
    fn context(&self, _: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("special", "begin".into()))
    }
}

/// `end`
pub(super) struct End;

impl ProbeKind for End {
    fn name(&self) -> &'static str {
        "end"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    fn syntax(&self) -> &'static str {
        "end"
    }
    fn doc(&self) -> &'static str {
        "Runs once after all other probes are detached."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        if ap.args.is_empty() { Ok(ProbeSpec::End) } else { Err(bad(ap, self, "end takes no arguments")) }
    }
    fn full_name(&self, _: &ProbeSpec) -> String {
        "end".into()
    }
    fn context(&self, _: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("special", "end".into()))
    }
}

/// `self:signal:SIGUSR1`
pub(super) struct SelfSignal;

/// `SIGUSR1` on every architecture that hark runs on (`include/uapi/asm-generic/signal.h`).
const SIGUSR1: i32 = 10;

impl ProbeKind for SelfSignal {
    fn name(&self) -> &'static str {
        "self"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    fn syntax(&self) -> &'static str {
        "self:signal:SIGUSR1"
    }
    fn doc(&self) -> &'static str {
        "Runs when hark itself receives the signal SIGUSR1."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            ["signal", "SIGUSR1"] => Ok(ProbeSpec::SelfSignal { signal: SIGUSR1 }),
            ["signal", other] => Err(bad(ap, self, format!("hark does not listen to signal {other}"))),
            _ => Err(bad(ap, self, "not an event of hark itself")),
        }
    }
    fn list(&self, _: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(vec!["self:signal:SIGUSR1".into()])
    }
    fn full_name(&self, _: &ProbeSpec) -> String {
        "self:signal:SIGUSR1".into()
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("self", self.full_name(spec)))
    }
}

/// `test:NAME`
pub(super) struct Test;

impl ProbeKind for Test {
    fn name(&self) -> &'static str {
        "test"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    fn syntax(&self) -> &'static str {
        "test:NAME"
    }
    fn doc(&self) -> &'static str {
        "Runs only under --test; passes if it returns 0."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            [name] if !name.is_empty() => Ok(ProbeSpec::Test(name.to_string())),
            _ => Err(bad(ap, self, "a test needs a name")),
        }
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        if let ProbeSpec::Test(name) = spec { format!("test:{name}") } else { "test".into() }
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("test", self.full_name(spec)))
    }
}

/// `bench:NAME`
pub(super) struct Bench;

impl ProbeKind for Bench {
    fn name(&self) -> &'static str {
        "bench"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    fn syntax(&self) -> &'static str {
        "bench:NAME"
    }
    fn doc(&self) -> &'static str {
        "Runs only under --bench, many times; the time of one run is printed."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            [name] if !name.is_empty() => Ok(ProbeSpec::Bench(name.to_string())),
            _ => Err(bad(ap, self, "a benchmark needs a name")),
        }
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        if let ProbeSpec::Bench(name) = spec { format!("bench:{name}") } else { "bench".into() }
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(context("bench", self.full_name(spec)))
    }
}
