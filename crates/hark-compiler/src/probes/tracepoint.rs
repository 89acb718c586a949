//! `tracepoint`, `rawtracepoint`: events that the kernel's authors placed.

use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad, glob, is_pattern};
use crate::target::Target;
use crate::tracefs::{self, TracepointField};
use crate::types::{ArgField, ArgPlace, ArgsType, Space, Type};
use bpf_facts::{AttachType, ProgType};
use hark_btf::{Btf, Kind, TypeId};
use hark_diag::{Code, Diagnostic, did_you_mean};
use hark_object::{BtfTarget, CatalogError, ProbeSpec};
use std::sync::Arc;

/// `tracepoint`
pub(super) struct Tracepoint;

impl ProbeKind for Tracepoint {
    fn name(&self) -> &'static str {
        "tracepoint"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["t"]
    }
    fn syntax(&self) -> &'static str {
        "tracepoint:CATEGORY:EVENT"
    }
    fn doc(&self) -> &'static str {
        "Fires at a tracepoint of the kernel; args.NAME are its fields. `hark -lv tracepoint:…` lists them."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            [category, event] if !category.is_empty() && !event.is_empty() => {
                Ok(ProbeSpec::Tracepoint { category: category.to_string(), event: event.to_string() })
            }
            _ => Err(bad(ap, self, "tracepoint needs a category and an event")),
        }
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        let ProbeSpec::Tracepoint { category, event } = spec else { return Ok(vec![spec.clone()]) };
        if !is_pattern(category) && !is_pattern(event) {
            return Ok(vec![spec.clone()]);
        }
        let all = target.catalog.tracepoints()?;
        Ok(all
            .iter()
            .filter(|(c, e)| glob(category, c) && glob(event, e))
            .map(|(c, e)| ProbeSpec::Tracepoint { category: c.clone(), event: e.clone() })
            .collect())
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        Ok(target.catalog.tracepoints()?.iter().map(|(c, e)| format!("tracepoint:{c}:{e}")).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::Tracepoint { category, event } => format!("tracepoint:{category}:{event}"),
            _ => "tracepoint".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let name = self.full_name(spec);
        let mut context = Context::plain("tracepoint", name.clone(), ProgType::Tracepoint);
        let ProbeSpec::Tracepoint { category, event } = spec else { return Ok(context) };
        // Addresses in arguments of system calls are the caller's.
        context.user = category == "syscalls";
        if cx.needs_args {
            let format = cx.target.catalog.tracepoint_format(category, event).map_err(|e| {
                let diag = Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, e.message);
                ContextError::Other(match e.help {
                    Some(help) => diag.with_help(help),
                    None => diag,
                })
            })?;
            let Some(format) = format else {
                return Err(ContextError::Missing(missing(category, event, cx)));
            };
            let fields = tracefs::parse_format(&format);
            let space = context.space();
            let fields = fields.iter().filter_map(|f| arg_field(f, space, cx)).collect();
            context.args = Some(Arc::new(ArgsType { name, fields }));
        }
        Ok(context)
    }
}

fn missing(category: &str, event: &str, cx: &ContextCx<'_>) -> Diagnostic {
    let message = format!("tracepoint not found: {category}:{event}");
    let mut diag = Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, message);
    if let Ok(all) = cx.target.catalog.tracepoints() {
        let names: Vec<String> = all.iter().map(|(c, e)| format!("{c}:{e}")).collect();
        let wanted = format!("{category}:{event}");
        if let Some(near) = did_you_mean(&wanted, names.iter().map(String::as_str)) {
            diag = diag.with_help(format!("did you mean `tracepoint:{near}`?"));
        }
    }
    diag
}

/// The field as an argument; `None` for what every record begins with.
fn arg_field(field: &TracepointField, space: Space, cx: &ContextCx<'_>) -> Option<ArgField> {
    if field.name.starts_with("common_") {
        return None;
    }
    let mut base = base_type(&field.base, cx);
    if let Type::Int { bytes, signed } = &mut base
        && field.pointers == 0
        && field.array.is_none()
        && !field.data_loc
    {
        // `unsigned long` of a 32-bit process, typedefs the kernel's BTF does not have: the file's size decides.
        if u32::from(*bytes) > field.size
            || (base_is_guess(&field.base, cx) && [1, 2, 4, 8].contains(&field.size))
        {
            *bytes = field.size.clamp(1, 8) as u8;
            *signed = field.signed;
        }
    }
    let is_char = field.pointers == 0 && field.base == "char";
    let mut ty = base;
    for _ in 0..field.pointers {
        ty = ty.ptr(space);
    }
    let (ty, place) = if field.data_loc {
        // The data lies in the record itself, and so in kernel memory.
        (ty.ptr(Space::Kernel), ArgPlace::DataLoc(field.offset))
    } else if let Some(len) = field.array {
        let elem = cx.types.size_of(&ty).max(1);
        let len = if len > 0 { len } else { field.size / elem };
        let ty = if is_char { Type::Str { cap: len.max(1) } } else { Type::Array(Box::new(ty), len) };
        (ty, ArgPlace::Context(field.offset))
    } else {
        (ty, ArgPlace::Context(field.offset))
    };
    Some(ArgField { name: field.name.clone(), ty, place })
}

fn base_type(base: &str, cx: &ContextCx<'_>) -> Type {
    let found = match base.split_once(' ') {
        Some(("struct", tag)) => cx.types.struct_named(tag, false).map(Type::Struct),
        Some(("union", tag)) => cx.types.struct_named(tag, true).map(Type::Struct),
        Some(("enum", tag)) => cx.types.enum_named(tag),
        _ => cx.types.type_named(base),
    };
    match found {
        Some(ty) => ty,
        None if base.starts_with("struct ") || base.starts_with("union ") => Type::Void,
        None if base.starts_with("enum ") => Type::U32,
        None => Type::I64,
    }
}

fn base_is_guess(base: &str, cx: &ContextCx<'_>) -> bool {
    !base.contains(' ') && cx.types.type_named(base).is_none()
}

/// `rawtracepoint`
pub(super) struct RawTracepoint;

impl ProbeKind for RawTracepoint {
    fn name(&self) -> &'static str {
        "rawtracepoint"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["rt"]
    }
    fn syntax(&self) -> &'static str {
        "rawtracepoint:EVENT or rawtracepoint:MODULE:EVENT"
    }
    fn doc(&self) -> &'static str {
        "Fires at a tracepoint before its record is made: cheaper, with the arguments of the tracepoint itself."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            [event] | [_, event] if !event.is_empty() => {
                Ok(ProbeSpec::RawTracepoint { event: event.to_string() })
            }
            _ => Err(bad(ap, self, "rawtracepoint needs an event")),
        }
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        let ProbeSpec::RawTracepoint { event } = spec else { return Ok(vec![spec.clone()]) };
        if !is_pattern(event) {
            return Ok(vec![spec.clone()]);
        }
        let Some(btf) = target.btf.get() else { return Ok(Vec::new()) };
        let mut names: Vec<&str> = btf
            .types_of(Kind::Typedef)
            .filter_map(|t| t.name().strip_prefix(TYPEDEF_PREFIX))
            .filter(|name| glob(event, name))
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into_iter().map(|e| ProbeSpec::RawTracepoint { event: e.to_string() }).collect())
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        let all = ProbeSpec::RawTracepoint { event: "*".into() };
        Ok(self.expand(&all, target)?.iter().map(|spec| self.full_name(spec)).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::RawTracepoint { event } => format!("rawtracepoint:{event}"),
            _ => "rawtracepoint".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let ProbeSpec::RawTracepoint { event } = spec else {
            return Err(ContextError::Other(Diagnostic::error(
                Code::INTERNAL,
                cx.span,
                "not a raw tracepoint",
            )));
        };
        let name = self.full_name(spec);
        let untyped = Context {
            word_args: Some(0),
            preemptible: true,
            ..Context::plain("rawtracepoint", name.clone(), ProgType::RawTracepoint)
        };
        if !cx.needs_args {
            return Ok(untyped);
        }
        let Some(btf) = cx.types.btf() else {
            let diag =
                Diagnostic::error(Code::NEEDS_KERNEL, cx.span, "typed arguments need a kernel with BTF");
            return Err(ContextError::Other(diag));
        };
        let typedef = btf.find(Kind::Typedef, &format!("{TYPEDEF_PREFIX}{event}"));
        let Some(typedef) = typedef.filter(|id| raw_proto(btf, *id).is_some()) else {
            let mut diag =
                Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, format!("raw tracepoint not found: {event}"));
            let names = btf.types_of(Kind::Typedef).filter_map(|t| t.name().strip_prefix(TYPEDEF_PREFIX));
            if let Some(near) = did_you_mean(event, names) {
                diag = diag.with_help(format!("did you mean `rawtracepoint:{near}`?"));
            }
            return Err(ContextError::Missing(diag));
        };
        let fields = raw_parameters(btf, event).into_iter().enumerate().map(|(i, (ty, name))| {
            let ty = match cx.types.btf_type(ty) {
                Type::Ptr(to, Space::Kernel) => {
                    let space = if matches!(*to, Type::Struct(_)) { Space::Trusted } else { Space::Any };
                    Type::Ptr(to, space)
                }
                other => other,
            };
            ArgField { name, ty, place: ArgPlace::Register { offset: 8 * i as u32, trusted: true } }
        });
        let args = Some(Arc::new(ArgsType { name, fields: fields.collect() }));
        Ok(Context {
            prog: ProgType::Tracing,
            attach: AttachType::TraceRawTp,
            btf_target: Some(BtfTarget { btf_id: typedef.0, module: None, name: event.clone() }),
            args,
            ..untyped
        })
    }
}

/// What the types of tracepoint functions are called in BTF.
const TYPEDEF_PREFIX: &str = "btf_trace_";

/// The prototype behind the typedef of a raw tracepoint.
fn raw_proto(btf: &Btf, typedef: TypeId) -> Option<hark_btf::Type<'_>> {
    let pointer = btf.resolve(typedef)?;
    btf.resolve(pointer.target()?).filter(|t| t.kind() == Kind::FuncProto)
}

/// Types and names of the parameters of a raw tracepoint. The first is the registrant's private data, which programs do
/// not see. The typedef has no names; the function that the tracepoint calls does.
pub(crate) fn raw_parameters(btf: &Btf, event: &str) -> Vec<(TypeId, String)> {
    let typedef = btf.find(Kind::Typedef, &format!("{TYPEDEF_PREFIX}{event}"));
    let Some(proto) = typedef.and_then(|id| raw_proto(btf, id)) else { return Vec::new() };
    let called = btf
        .func_proto(&format!("__bpf_trace_{event}"))
        .or_else(|| btf.func_proto(&format!("__traceiter_{event}")));
    let names: Vec<&str> =
        called.iter().flat_map(|p| p.params.iter().skip(1).map(|param| param.name)).collect();
    let parameter = |(i, param): (usize, hark_btf::Param<'_>)| {
        let given = if param.name.is_empty() { names.get(i).copied().unwrap_or("") } else { param.name };
        (param.ty, if given.is_empty() { format!("arg{i}") } else { given.to_string() })
    };
    proto.params().skip(1).enumerate().map(parameter).collect()
}
