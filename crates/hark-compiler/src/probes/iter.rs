//! `iter`: walks over all objects of a kind in the kernel.

use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad};
use crate::target::Target;
use crate::types::{Space, Type};
use bpf_facts::{AttachType, ProgType};
use hark_btf::Kind;
use hark_diag::{Code, Diagnostic, did_you_mean};
use hark_object::{BtfTarget, CatalogError, ProbeSpec};

/// What the functions that iterators attach to are called in BTF.
const PREFIX: &str = "bpf_iter_";

/// `iter`
pub(super) struct Iter;

impl ProbeKind for Iter {
    fn name(&self) -> &'static str {
        "iter"
    }
    fn aliases(&self) -> &'static [&'static str] {
        &["it"]
    }
    fn syntax(&self) -> &'static str {
        "iter:KIND or iter:KIND:PIN"
    }
    fn doc(&self) -> &'static str {
        "Runs once for every object of a kind that the kernel has: task, task_file, task_vma… ctx holds it."
    }
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic> {
        match ap.args[..] {
            [name] if !name.is_empty() => Ok(ProbeSpec::Iter { name: name.to_string(), pin: None }),
            [name, pin] if !name.is_empty() => {
                Ok(ProbeSpec::Iter { name: name.to_string(), pin: Some(pin.to_string()) })
            }
            _ => Err(bad(ap, self, "iter needs the kind of object")),
        }
    }
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        let Some(btf) = target.btf.get() else { return Ok(Vec::new()) };
        let names = btf.types_of(Kind::Func).filter_map(|t| t.name().strip_prefix(PREFIX));
        Ok(names.map(|name| format!("iter:{name}")).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::Iter { name, pin: None } => format!("iter:{name}"),
            ProbeSpec::Iter { name, pin: Some(pin) } => format!("iter:{name}:{pin}"),
            _ => "iter".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let ProbeSpec::Iter { name, .. } = spec else {
            return Err(ContextError::Other(Diagnostic::error(Code::INTERNAL, cx.span, "not an iterator")));
        };
        let function = format!("{PREFIX}{name}");
        let Some(proto) = cx.types.function(&function) else {
            let message = format!("this kernel has no iterator {name}");
            let mut diag = Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, message);
            let names: Vec<&str> = cx
                .types
                .btf()
                .map(|btf| btf.types_of(Kind::Func).filter_map(|t| t.name().strip_prefix(PREFIX)).collect())
                .unwrap_or_default();
            diag = match did_you_mean(name, names.iter().copied()) {
                Some(near) => diag.with_help(format!("did you mean `{near}`?")),
                None => diag.with_help(format!("it has {}", names.join(", "))),
            };
            return Err(ContextError::Missing(diag));
        };
        // The context is a struct bpf_iter__NAME whose members are typed pointers.
        let ctx = cx
            .types
            .struct_named(&format!("bpf_iter__{name}"), false)
            .map(|s| Type::Struct(s).ptr(Space::Trusted));
        Ok(Context {
            attach: AttachType::TraceIter,
            btf_target: Some(BtfTarget { btf_id: proto.id.0, module: None, name: function }),
            ctx,
            preemptible: true,
            ..Context::plain("iter", self.full_name(spec), ProgType::Tracing)
        })
    }
}
