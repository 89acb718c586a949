//! `fentry`, `fexit`: kernel functions with typed arguments, by BTF.

use super::context::{FuncSource, RetVal};
use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad, glob, is_pattern};
use crate::target::Target;
use crate::types::{ArgField, ArgPlace, ArgsType, Space, Type};
use bpf_facts::{AttachType, ProgType};
use hark_btf::Kind;
use hark_diag::{Code, Diagnostic, did_you_mean};
use hark_object::{BtfTarget, CatalogError, ProbeSpec};
use std::sync::Arc;

/// What the kernel itself is called among modules.
const VMLINUX: &str = "vmlinux";

fn parse(ap: &Ap<'_>, kind: &dyn ProbeKind, exit: bool) -> Result<ProbeSpec, Diagnostic> {
    let (module, func) = match ap.args[..] {
        [func] => (None, func),
        [module, func] => (Some(module.to_string()), func),
        _ => return Err(bad(ap, kind, format!("{} needs a function", kind.name()))),
    };
    if func.is_empty() {
        return Err(bad(ap, kind, format!("{} needs a function", kind.name())));
    }
    Ok(ProbeSpec::Fentry { module, func: func.to_string(), exit })
}

fn full_name(kind: &str, spec: &ProbeSpec) -> String {
    match spec {
        ProbeSpec::Fentry { module: Some(m), func, .. } => format!("{kind}:{m}:{func}"),
        ProbeSpec::Fentry { module: None, func, .. } => format!("{kind}:{VMLINUX}:{func}"),
        _ => kind.to_string(),
    }
}

/// Every program is compiled against one function, so patterns are always expanded.
fn expand(spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
    let ProbeSpec::Fentry { module, func, exit } = spec else { return Ok(vec![spec.clone()]) };
    if !is_pattern(func) {
        return Ok(vec![spec.clone()]);
    }
    let of_module = match module.as_deref() {
        None | Some(VMLINUX) => None,
        Some(module) => match target.btf.of_module(module) {
            Some(types) => Some(types),
            None => return Ok(Vec::new()),
        },
    };
    let Some(btf) = of_module.as_ref().unwrap_or(&target.btf).get() else { return Ok(Vec::new()) };
    let traceable = target.catalog.kernel_functions()?;
    let mut all: Vec<ProbeSpec> = btf
        .own_types()
        .filter(|t| t.kind() == Kind::Func)
        .map(|t| t.name())
        .filter(|name| glob(func, name))
        .filter(|name| {
            traceable.is_empty() || traceable.binary_search_by(|f| f.name.as_str().cmp(name)).is_ok()
        })
        .map(|name| ProbeSpec::Fentry { module: module.clone(), func: name.to_string(), exit: *exit })
        .collect();
    all.dedup();
    Ok(all)
}

fn context(kind: &'static str, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
    let ProbeSpec::Fentry { module, func, exit } = spec else {
        return Err(ContextError::Other(Diagnostic::error(Code::INTERNAL, cx.span, "not a function probe")));
    };
    let Some(proto) = cx.types.function(func) else {
        let mut diag = Diagnostic::error(
            Code::NO_SUCH_PROBE,
            cx.span,
            format!("the kernel's BTF has no function {func}"),
        );
        if let Some(btf) = cx.types.btf() {
            let names: Vec<&str> = btf.types_of(Kind::Func).map(|t| t.name()).collect();
            if let Some(near) = did_you_mean(func, names) {
                diag = diag.with_help(format!("did you mean `{near}`?"));
            }
        } else {
            diag = diag.with_help("fentry and fexit need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)");
        }
        return Err(ContextError::Missing(diag));
    };
    let home = cx.types.module_of(proto.id).map(str::to_string);
    if module.as_deref().is_some_and(|module| module != home.as_deref().unwrap_or(VMLINUX)) {
        let module = module.as_deref().unwrap_or_default();
        let message = format!("the BTF of module {module} has no function {func}");
        let diag = Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, message);
        let help =
            format!("it is one of {}, if that is meant", home.as_deref().unwrap_or("the kernel itself"));
        return Err(ContextError::Missing(diag.with_help(help)));
    }
    let mut fields = Vec::new();
    for (i, (name, ty)) in proto.params.iter().enumerate() {
        let offset = 8 * i as u32;
        fields.push(ArgField {
            name: name.clone(),
            ty: trusted(ty),
            place: ArgPlace::Register { offset, trusted: true },
        });
    }
    let retval = (*exit && proto.ret != Type::Void).then(|| RetVal {
        ty: trusted(&proto.ret),
        place: ArgPlace::Register { offset: 8 * proto.params.len() as u32, trusted: true },
    });
    let of_home = ProbeSpec::Fentry { module: home.clone(), func: func.clone(), exit: *exit };
    let name = full_name(kind, &of_home);
    Ok(Context {
        attach: if *exit { AttachType::TraceFexit } else { AttachType::TraceFentry },
        btf_target: Some(BtfTarget { btf_id: proto.id.0, module: home.clone(), name: func.clone() }),
        args: Some(Arc::new(ArgsType { name: name.clone(), fields })),
        retval,
        word_args: Some(0),
        func: Some(FuncSource::FuncIp),
        preemptible: true,
        ..Context::plain(kind, name, ProgType::Tracing)
    })
}

/// Pointers to kernel structs are ones that the verifier lets programs follow. Others may be the caller's: BTF says no
/// more of the name in `do_sys_openat2` than that it is a `char *`.
fn trusted(ty: &Type) -> Type {
    match ty {
        Type::Ptr(to, Space::Kernel) => {
            let space = if matches!(**to, Type::Struct(_)) { Space::Trusted } else { Space::Any };
            Type::Ptr(to.clone(), space)
        }
        other => other.clone(),
    }
}

/// `fentry`
pub(super) struct Fentry;

impl ProbeKind for Fentry {
    fn name(&self) -> &'static str {
        "fentry"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["f", "kfunc"]
    }
    fn syntax(&self) -> &'static str {
        "fentry:FUNCTION or fentry:MODULE:FUNCTION"
    }
    fn doc(&self) -> &'static str {
        "Fires when a kernel function is entered; args.NAME are its arguments with their types."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, false)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        let all = ProbeSpec::Fentry { module: None, func: "*".into(), exit: false };
        Ok(expand(&all, target)?.iter().map(|spec| self.full_name(spec)).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("fentry", spec)
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        context("fentry", spec, cx)
    }
}

/// `fexit`
pub(super) struct Fexit;

impl ProbeKind for Fexit {
    fn name(&self) -> &'static str {
        "fexit"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["fr", "kretfunc"]
    }
    fn syntax(&self) -> &'static str {
        "fexit:FUNCTION or fexit:MODULE:FUNCTION"
    }
    fn doc(&self) -> &'static str {
        "Fires when a kernel function returns; sees args.NAME as at entry, and retval with its type."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        parse(ap, self, true)
    }
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        expand(spec, target)
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        let all = ProbeSpec::Fentry { module: None, func: "*".into(), exit: true };
        Ok(expand(&all, target)?.iter().map(|spec| self.full_name(spec)).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        full_name("fexit", spec)
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        context("fexit", spec, cx)
    }
}
