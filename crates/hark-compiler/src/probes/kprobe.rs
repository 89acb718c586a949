//! `kprobe`, `kretprobe`: any instruction of the kernel, through registers.

use super::context::{FuncSource, RetVal, return_register};
use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad, glob, is_pattern, number};
use crate::target::Target;
use crate::types::{ArgPlace, Type};
use bpf_facts::ProgType;
use hark_diag::Diagnostic;
use hark_object::{CatalogError, ProbeSpec};

fn context(kind: &'static str, name: String) -> Context {
    Context { regs: Some(0), ..Context::plain(kind, name, ProgType::Kprobe) }
}

fn full_name(kind: &str, spec: &ProbeSpec) -> String {
    match spec {
        ProbeSpec::Kprobe { module, func, offset, .. } => {
            let module = module.as_ref().map(|m| format!("{m}:")).unwrap_or_default();
            let offset = if *offset > 0 { format!("+{offset}") } else { String::new() };
            format!("{kind}:{module}{func}{offset}")
        }
        ProbeSpec::KprobeAddr { addr } => format!("{kind}:{addr:#x}"),
        _ => kind.to_string(),
    }
}

fn list(kind: &str, target: &Target) -> Result<Vec<String>, CatalogError> {
    if !target.catalog.has_kprobes() {
        return Ok(Vec::new());
    }
    let functions = target.catalog.kernel_functions()?;
    Ok(functions
        .iter()
        .map(|f| match &f.module {
            Some(module) => format!("{kind}:{module}:{}", f.name),
            None => format!("{kind}:{}", f.name),
        })
        .collect())
}

/// The functions that a pattern stands for.
fn expand(spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
    let ProbeSpec::Kprobe { module, func, offset, ret } = spec else { return Ok(vec![spec.clone()]) };
    if !is_pattern(func) && !module.as_deref().is_some_and(is_pattern) {
        return Ok(vec![spec.clone()]);
    }
    let module_matches = |m: Option<&str>| match module {
        None => true,
        Some(pattern) => glob(pattern, m.unwrap_or("vmlinux")),
    };
    let functions = target.catalog.kernel_functions()?;
    let mut names: Vec<(Option<String>, String)> = functions
        .iter()
        .filter(|f| glob(func, &f.name) && module_matches(f.module.as_deref()))
        .map(|f| (f.module.clone().filter(|_| module.is_some()), f.name.clone()))
        .collect();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|(module, func)| ProbeSpec::Kprobe { module, func, offset: *offset, ret: *ret })
        .collect())
}

fn parse(ap: &Ap<'_>, kind: &dyn ProbeKind, ret: bool) -> Result<ProbeSpec, Diagnostic> {
    let (module, func) = match ap.args[..] {
        [func] => (None, func),
        [module, func] => (Some(module.to_string()), func),
        _ => return Err(bad(ap, kind, format!("{} needs a function", kind.name()))),
    };
    if func.is_empty() {
        return Err(bad(ap, kind, format!("{} needs a function", kind.name())));
    }
    if !ret && module.is_none() && func.starts_with("0x") {
        let addr = number(func).ok_or_else(|| bad(ap, kind, format!("not an address: {func}")))?;
        return Ok(ProbeSpec::KprobeAddr { addr });
    }
    let (func, offset) = match func.split_once('+') {
        None => (func, 0),
        Some(_) if ret => return Err(bad(ap, kind, "a return probe takes no offset")),
        Some((name, offset)) => {
            let offset = number(offset).ok_or_else(|| bad(ap, kind, format!("not an offset: {offset}")))?;
            if is_pattern(name) {
                return Err(bad(ap, kind, "a pattern takes no offset"));
            }
            (name, offset)
        }
    };
    Ok(ProbeSpec::Kprobe { module, func: func.to_string(), offset, ret })
}

/// `kprobe`
pub(super) struct Kprobe;

impl ProbeKind for Kprobe {
    fn name(&self) -> &'static str {
        "kprobe"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["k"]
    }
    fn syntax(&self) -> &'static str {
        "kprobe:FUNCTION, kprobe:MODULE:FUNCTION, kprobe:FUNCTION+OFFSET or kprobe:0xADDRESS"
    }
    fn doc(&self) -> &'static str {
        "Fires when a kernel function is entered, or at an offset into it. arg0, arg1… are its arguments as registers."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, false)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        list("kprobe", target)
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("kprobe", spec)
    }
    fn context(&self, spec: &ProbeSpec, _: &ContextCx<'_>) -> Result<Context, ContextError> {
        Ok(Context { func: Some(FuncSource::InstructionPointer), ..context("kprobe", self.full_name(spec)) })
    }
}

/// `kretprobe`
pub(super) struct Kretprobe;

impl ProbeKind for Kretprobe {
    fn name(&self) -> &'static str {
        "kretprobe"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["kr"]
    }
    fn syntax(&self) -> &'static str {
        "kretprobe:FUNCTION or kretprobe:MODULE:FUNCTION"
    }
    fn doc(&self) -> &'static str {
        "Fires when a kernel function returns. retval is its result as an unsigned register."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, true)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        list("kretprobe", target)
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("kretprobe", spec)
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let place = ArgPlace::Context(return_register(cx.target.profile.arch));
        Ok(Context {
            retval: Some(RetVal { ty: Type::U64, place }),
            func: Some(FuncSource::FuncIp),
            ..context("kretprobe", self.full_name(spec))
        })
    }
}
