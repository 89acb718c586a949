//! Which module's types a script sees besides the kernel's own.

use crate::kernel_types::KernelTypes;
use crate::probes::kind_named;
use crate::target::Target;
use hark_btf::Kind;
use hark_diag::{Code, Diagnostic, Span};
use hark_object::is_pattern;
use hark_syntax::ast;

/// The kernel's types, with those of the module that the script's fentry and fexit probes are in. Type numbers of
/// several modules overlap, so there can be one.
pub(super) fn kernel_types(
    script: &ast::Script,
    target: &Target,
    diags: &mut Vec<Diagnostic>,
) -> KernelTypes {
    let mut found: Option<(String, Span)> = None;
    for item in &script.items {
        let ast::Item::Probe(probe) = item else { continue };
        for ap in &probe.attach_points {
            let Some(module) = module(ap, target) else { continue };
            match &found {
                Some((other, span)) if *other != module => {
                    let message = format!("a script sees the types of one module: of {other} or of {module}");
                    let diag = Diagnostic::error(Code::BAD_PROBE, ap.span, message);
                    diags.push(diag.with_label(*span, format!("{other} is needed here")));
                }
                Some(_) => {}
                None => found = Some((module, ap.span)),
            }
        }
    }
    found.and_then(|(module, _)| target.btf.of_module(&module)).unwrap_or_else(|| target.btf.clone())
}

/// The module of a typed function probe: as the script says, or the only one that has the function.
fn module(ap: &ast::AttachPoint, target: &Target) -> Option<String> {
    let parts: Vec<&str> = ap.parts.iter().map(|part| part.text.as_str()).collect();
    let (kind, rest) = parts.split_first()?;
    if !kind_named(kind, ap.span).is_ok_and(|kind| matches!(kind.name(), "fentry" | "fexit")) {
        return None;
    }
    match *rest {
        [module, _] => (!is_pattern(module) && module != "vmlinux").then(|| module.to_string()),
        [func] if !is_pattern(func) && target.btf.get()?.find(Kind::Func, func).is_none() => {
            let all = target.catalog.kernel_functions().ok()?;
            let mut modules = all.iter().filter(|f| f.name == func).filter_map(|f| f.module.clone());
            // Of several, the script must name one.
            modules.next().filter(|first| modules.all(|other| other == *first))
        }
        _ => None,
    }
}
