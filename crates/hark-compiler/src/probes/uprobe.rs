//! `uprobe`, `uretprobe`, `usdt`: code of processes.

use super::context::{FuncSource, RetVal, arg_register, return_register};
use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad, glob, is_pattern, number};
use crate::target::Target;
use crate::types::{ArgField, ArgPlace, ArgsType, Type};
use crate::user_types::UserParam;
use bpf_facts::{Arch, ProgType};
use hark_diag::{Code, Diagnostic};
use hark_object::{CatalogError, ProbeSpec, UsdtSite, UserFunction, UserLocation};
use std::sync::Arc;

fn context(kind: &'static str, name: String) -> Context {
    Context {
        regs: Some(0),
        user: true,
        // Programs of uprobes run with preemption enabled (kernel/trace/trace_uprobe.c, __uprobe_perf_func).
        preemptible: true,
        filters_pid: true,
        ..Context::plain(kind, name, ProgType::Kprobe)
    }
}

fn full_name(kind: &str, spec: &ProbeSpec) -> String {
    let ProbeSpec::Uprobe { binary, at, .. } = spec else { return kind.to_string() };
    match at {
        UserLocation::Symbol { name, offset: 0, cpp: false } => format!("{kind}:{binary}:{name}"),
        UserLocation::Symbol { name, cpp: true, .. } => format!("{kind}:{binary}:cpp:\"{name}\""),
        UserLocation::Symbol { name, offset, .. } => format!("{kind}:{binary}:{name}+{offset}"),
        UserLocation::Address(addr) => format!("{kind}:{binary}:{addr:#x}"),
        UserLocation::Line { file, line, column: None } => format!("{kind}:{binary}@{file}:{line}"),
        UserLocation::Line { file, line, column: Some(c) } => format!("{kind}:{binary}@{file}:{line}:{c}"),
    }
}

fn parse(ap: &Ap<'_>, kind: &dyn ProbeKind, ret: bool) -> Result<ProbeSpec, Diagnostic> {
    let spec = |binary: &str, at| Ok(ProbeSpec::Uprobe { binary: binary.to_string(), at, ret });
    if let [first, rest @ ..] = &ap.args[..]
        && let Some((binary, file)) = first.split_once('@')
    {
        let (line, column) = match rest {
            [line] => (line, None),
            [line, column] => (line, Some(column)),
            _ => return Err(bad(ap, kind, "a source file needs a line")),
        };
        let parse = |text: &str| {
            number(text)
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .ok_or_else(|| bad(ap, kind, format!("not a line or column: {text}")))
        };
        let column = column.map(|c| parse(c)).transpose()?;
        return spec(binary, UserLocation::Line { file: file.to_string(), line: parse(line)?, column });
    }
    let (binary, symbol, cpp) = match ap.args[..] {
        [binary, symbol] => (binary, symbol, false),
        [binary, "cpp", symbol] => (binary, symbol, true),
        _ => return Err(bad(ap, kind, format!("{} needs a binary and a function", kind.name()))),
    };
    if binary.is_empty() || symbol.is_empty() {
        return Err(bad(ap, kind, format!("{} needs a binary and a function", kind.name())));
    }
    if !cpp && symbol.starts_with(|c: char| c.is_ascii_digit()) {
        let addr = number(symbol).ok_or_else(|| bad(ap, kind, format!("not an address: {symbol}")))?;
        return spec(binary, UserLocation::Address(addr));
    }
    let (name, offset) = match symbol.split_once('+') {
        None => (symbol, 0),
        Some(_) if cpp => (symbol, 0),
        Some(_) if ret => return Err(bad(ap, kind, "a return probe takes no offset")),
        Some((name, offset)) => {
            let offset = number(offset).ok_or_else(|| bad(ap, kind, format!("not an offset: {offset}")))?;
            (name, offset)
        }
    };
    spec(binary, UserLocation::Symbol { name: name.to_string(), offset, cpp })
}

/// The file that a name without a directory means. What there is none for is left as it is: attaching says why.
fn found(binary: &str, target: &Target) -> String {
    let bare = !binary.contains('/') && !is_pattern(binary);
    let first = |files: Vec<String>| files.into_iter().next();
    let found = if bare { target.catalog.binaries(binary).ok().and_then(first) } else { None };
    found.unwrap_or_else(|| binary.to_string())
}

fn expand(spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
    let ProbeSpec::Uprobe { binary, at, ret } = spec else { return Ok(vec![spec.clone()]) };
    let (name, offset, cpp) = match at {
        UserLocation::Symbol { name, offset, cpp } if *cpp || is_pattern(binary) || is_pattern(name) => {
            (name, offset, cpp)
        }
        at => {
            let (binary, at) = (found(binary, target), at.clone());
            return Ok(vec![ProbeSpec::Uprobe { binary, at, ret: *ret }]);
        }
    };
    let mut all = Vec::new();
    for path in target.catalog.binaries(binary)? {
        let found = if *cpp {
            target.catalog.demangled_functions(&path, name)
        } else {
            let matches = |f: &&UserFunction| f.size > 0 && glob(name, &f.name);
            target.catalog.user_functions(&path).map(|all| all.iter().filter(matches).cloned().collect())
        };
        let found = match found {
            // Among all files that are mapped are some that are no programs.
            Err(_) if is_pattern(binary) => continue,
            found => found?,
        };
        for function in found {
            let at = UserLocation::Symbol { name: function.name, offset: *offset, cpp: *cpp };
            let next = ProbeSpec::Uprobe { binary: path.clone(), at, ret: *ret };
            if all.last() != Some(&next) {
                all.push(next);
            }
        }
    }
    Ok(all)
}

/// What the program sees of a function's arguments, where debug information tells: those that are passed in registers.
fn typed_args(name: &str, params: &[UserParam], arch: Arch) -> ArgsType {
    let mut fields = Vec::new();
    let mut registers = 0;
    for param in params {
        if param.registers == 1
            && let Some(ty) = &param.ty
            && let Some(offset) = arg_register(arch, registers)
        {
            let place = ArgPlace::Register { offset, trusted: false };
            fields.push(ArgField { name: param.name.clone(), ty: ty.clone(), place });
        }
        registers += param.registers;
    }
    ArgsType { name: name.to_string(), fields }
}

/// `uprobe`
pub(super) struct Uprobe;

impl ProbeKind for Uprobe {
    fn name(&self) -> &'static str {
        "uprobe"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["u"]
    }
    fn syntax(&self) -> &'static str {
        "uprobe:BINARY:FUNCTION, uprobe:BINARY:FUNCTION+OFFSET, uprobe:BINARY:ADDRESS or uprobe:BINARY@FILE.c:LINE"
    }
    fn doc(&self) -> &'static str {
        "Fires when a process enters a function of a binary or library. arg0, arg1… are its arguments as registers."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, false)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("uprobe", spec)
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let name = self.full_name(spec);
        let args = match &cx.user_params {
            None => None,
            Some(Ok(params)) => Some(Arc::new(typed_args(&name, params, cx.target.profile.arch))),
            Some(Err(why)) => {
                let diag = Diagnostic::error(Code::NOT_AVAILABLE_HERE, cx.span, format!("no args: {why}"));
                let diag = diag.with_help("arg0, arg1… are there without debug information");
                return Err(ContextError::Other(diag));
            }
        };
        Ok(Context { args, func: Some(FuncSource::InstructionPointer), ..context("uprobe", name) })
    }
}

/// `uretprobe`
pub(super) struct Uretprobe;

impl ProbeKind for Uretprobe {
    fn name(&self) -> &'static str {
        "uretprobe"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["ur"]
    }
    fn syntax(&self) -> &'static str {
        "uretprobe:BINARY:FUNCTION"
    }
    fn doc(&self) -> &'static str {
        "Fires when a function of a binary or library returns. retval is its result as an unsigned register. \
         It replaces the return address on the stack, which crashes programs that move their stacks, such as Go's."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, true)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("uretprobe", spec)
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let place = ArgPlace::Context(return_register(cx.target.profile.arch));
        Ok(Context {
            retval: Some(RetVal { ty: Type::U64, place }),
            func: Some(FuncSource::FuncIp),
            ..context("uretprobe", self.full_name(spec))
        })
    }
}

/// `usdt`
pub(super) struct Usdt;

impl ProbeKind for Usdt {
    fn name(&self) -> &'static str {
        "usdt"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["U"]
    }
    fn syntax(&self) -> &'static str {
        "usdt:BINARY:PROBE or usdt:BINARY:PROVIDER:PROBE"
    }
    fn doc(&self) -> &'static str {
        "Fires at a static probe that the program's author placed in it."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        let (binary, provider, name) = match ap.args[..] {
            [binary, name] => (binary, None, name),
            [binary, provider, name] => (binary, Some(provider.to_string()), name),
            _ => return Err(bad(ap, self, "usdt needs a binary and a probe")),
        };
        if binary.is_empty() || name.is_empty() {
            return Err(bad(ap, self, "usdt needs a binary and a probe"));
        }
        let (binary, name) = (binary.to_string(), name.to_string());
        Ok(ProbeSpec::Usdt { binary, provider, name, sites: Vec::new() })
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        let ProbeSpec::Usdt { binary, provider, name, .. } = spec else { return Ok(vec![spec.clone()]) };
        let matches = |site: &&UsdtSite| {
            provider.as_ref().is_none_or(|pattern| glob(pattern, &site.provider)) && glob(name, &site.name)
        };
        let mut all = Vec::new();
        for path in target.catalog.binaries(binary)? {
            let sites = match target.catalog.usdt_sites(&path) {
                Err(_) if is_pattern(binary) => continue,
                sites => sites?,
            };
            let mut groups: Vec<(&UsdtSite, Vec<u64>)> = Vec::new();
            for site in sites.iter().filter(matches) {
                let like = |other: &UsdtSite| {
                    (&other.provider, &other.name, &other.args) == (&site.provider, &site.name, &site.args)
                };
                match groups.iter_mut().find(|(first, _)| like(first)) {
                    Some((_, offsets)) => offsets.push(site.offset),
                    None => groups.push((site, vec![site.offset])),
                }
            }
            all.extend(groups.into_iter().map(|(site, sites)| ProbeSpec::Usdt {
                binary: path.clone(),
                provider: Some(site.provider.clone()),
                name: site.name.clone(),
                sites,
            }));
        }
        Ok(all)
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::Usdt { binary, provider: Some(p), name, .. } => format!("usdt:{binary}:{p}:{name}"),
            ProbeSpec::Usdt { binary, provider: None, name, .. } => format!("usdt:{binary}:{name}"),
            _ => "usdt".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let mut context = context("usdt", self.full_name(spec));
        // Places with other arguments are another attach point: any of these tells for all.
        if let ProbeSpec::Usdt { binary, sites, .. } = spec
            && let Some(first) = sites.first()
            && let Ok(all) = cx.target.catalog.usdt_sites(binary)
        {
            let site = all.iter().find(|site| site.offset == *first);
            context.usdt_args = site.map(|site| site.args.clone().into());
        }
        Ok(context)
    }
}
