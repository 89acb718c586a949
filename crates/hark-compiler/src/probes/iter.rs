//! `iter`: walks over all objects of a kind in the kernel.

use super::{Ap, Context, ContextCx, ContextError, ProbeKind, bad};
use crate::target::Target;
use crate::types::{Space, Type};
use bpf_facts::{AttachType, ProgType};
use hark_btf::{Btf, Kind};
use hark_diag::{Code, Diagnostic, did_you_mean};
use hark_object::{BtfTarget, CatalogError, ProbeSpec};

/// What the functions that iterators attach to are called in BTF.
const PREFIX: &str = "bpf_iter_";
/// What the contexts of iterators are called: their members are typed pointers to the object at hand.
pub(crate) const CONTEXT_PREFIX: &str = "bpf_iter__";
/// The member of a context that is about the walk, not about the object.
const META: &str = "meta";

/// The iterators that the kernel has: many a function begins with the same word, but has no context.
fn names(btf: &Btf) -> Vec<&str> {
    let contexts = btf.types_of(Kind::Struct).filter_map(|t| t.name().strip_prefix(CONTEXT_PREFIX));
    let mut names: Vec<&str> =
        contexts.filter(|name| btf.find(Kind::Func, &format!("{PREFIX}{name}")).is_some()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

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
        Ok(names(btf).into_iter().map(|name| format!("iter:{name}")).collect())
    }
    fn full_name(&self, spec: &ProbeSpec) -> String {
        match spec {
            ProbeSpec::Iter { name, pin: None } => format!("iter:{name}"),
            ProbeSpec::Iter { name, pin: Some(pin) } => format!("iter:{name}:{pin}"),
            _ => "iter".into(),
        }
    }
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError> {
        let ProbeSpec::Iter { name, pin } = spec else {
            return Err(ContextError::Other(Diagnostic::error(Code::INTERNAL, cx.span, "not an iterator")));
        };
        let function = format!("{PREFIX}{name}");
        let members = cx.types.struct_named(&format!("{CONTEXT_PREFIX}{name}"), false);
        let (Some(proto), Some(of)) = (cx.types.function(&function), members) else {
            let message = format!("this kernel has no iterator {name}");
            let diag = Diagnostic::error(Code::NO_SUCH_PROBE, cx.span, message);
            let names = cx.types.btf().map(names).unwrap_or_default();
            let help = match did_you_mean(name, names.iter().copied()) {
                _ if names.is_empty() => "iterators need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)".into(),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", names.join(", ")),
            };
            return Err(ContextError::Missing(diag.with_help(help)));
        };
        let members = cx.types.field_names(&of);
        let fields = members.iter().filter(|member| *member != META).filter_map(|m| cx.types.field(&of, m));
        let objects = fields.filter(|field| matches!(field.ty, Type::Ptr(..))).map(|field| field.offset);
        let objects = objects.collect();
        let ctx = Some(Type::Struct(of).ptr(Space::Trusted));
        Ok(Context {
            objects,
            attach: AttachType::TraceIter,
            btf_target: Some(BtfTarget { btf_id: proto.id.0, module: None, name: function }),
            ctx,
            pinned: pin.is_some(),
            preemptible: true,
            ..Context::plain("iter", self.full_name(spec), ProgType::Tracing)
        })
    }
}
