//! Probe kinds: how an attach point is written, what program it makes, what that program can see.
//!
//! One file per kind, one line in [`ALL`].

mod context;
pub(crate) mod iter;
mod kprobe;
mod special;
mod timers;
pub(crate) mod tracepoint;
mod tracing;
mod uprobe;

pub(crate) use context::arg_register;
pub use context::{Context, FuncSource, RetVal};

use crate::ctypes::CTypes;
use crate::target::Target;
use crate::user_types::UserParam;
use hark_diag::{Code, Diagnostic, Span, did_you_mean};
use hark_object::{CatalogError, ProbeSpec, glob, is_pattern};

/// An attach point with its positional parameters replaced.
#[derive(Clone, Debug)]
pub struct Ap<'a> {
    /// Parts after the probe type, quotes removed.
    pub args: Vec<&'a str>,
    /// Its place.
    pub span: Span,
}

/// A kind of probe.
pub trait ProbeKind: Sync {
    /// Its name as `probetype` says it.
    fn name(&self) -> &'static str;
    /// Short names, and old ones.
    fn aliases(&self) -> &'static [&'static str];
    /// How it is written.
    fn syntax(&self) -> &'static str;
    /// What it is, for the reference.
    fn doc(&self) -> &'static str;
    /// Reads an attach point.
    ///
    /// # Errors
    /// What is wrong with it, with the right syntax.
    fn parse(&self, ap: &Ap<'_>) -> Result<ProbeSpec, Diagnostic>;
    /// All attach points that a pattern stands for. Called only if the body depends on which of them fired.
    ///
    /// # Errors
    /// If the host cannot tell.
    fn expand(&self, spec: &ProbeSpec, target: &Target) -> Result<Vec<ProbeSpec>, CatalogError> {
        let _ = target;
        Ok(vec![spec.clone()])
    }
    /// Full names of all probes of this kind that the host has, where that is a list.
    ///
    /// # Errors
    /// If the host cannot tell.
    fn list(&self, target: &Target) -> Result<Vec<String>, CatalogError> {
        let _ = target;
        Ok(Vec::new())
    }
    /// The name of an attach point as `probe` shows it.
    fn full_name(&self, spec: &ProbeSpec) -> String;
    /// What the program sees. `args` tells whether the body looks at typed arguments.
    ///
    /// # Errors
    /// [`ContextError::Missing`] if the probe does not exist, otherwise what stands in the way.
    fn context(&self, spec: &ProbeSpec, cx: &ContextCx<'_>) -> Result<Context, ContextError>;
}

/// What a probe kind may ask to describe its context.
pub struct ContextCx<'a> {
    /// C types.
    pub types: &'a CTypes,
    /// The machine.
    pub target: &'a Target,
    /// Whether the body uses typed arguments.
    pub needs_args: bool,
    /// Parameters of the function of a uprobe, if the body uses typed arguments, or why they are not known.
    pub user_params: Option<Result<Vec<UserParam>, CatalogError>>,
    /// The place of the attach point.
    pub span: Span,
}

/// Why a probe has no context.
#[derive(Debug)]
pub enum ContextError {
    /// It does not exist: `missing_probes` decides what that means.
    Missing(Diagnostic),
    /// It cannot be compiled.
    Other(Diagnostic),
}

/// Every kind.
pub static ALL: &[&dyn ProbeKind] = &[
    &special::Begin,
    &special::End,
    &special::SelfSignal,
    &special::Test,
    &special::Bench,
    &kprobe::Kprobe,
    &kprobe::Kretprobe,
    &tracing::Fentry,
    &tracing::Fexit,
    &tracepoint::Tracepoint,
    &tracepoint::RawTracepoint,
    &uprobe::Uprobe,
    &uprobe::Uretprobe,
    &uprobe::Usdt,
    &timers::Interval,
    &timers::Profile,
    &timers::Software,
    &timers::Hardware,
    &timers::Watchpoint,
    &iter::Iter,
];

/// The kind called `name`. Full names in any case; one-letter names as they are, so that `U` is usdt.
///
/// # Errors
/// With the nearest name.
pub fn kind_named(name: &str, span: Span) -> Result<&'static dyn ProbeKind, Diagnostic> {
    let exact = |k: &&&dyn ProbeKind| k.aliases().contains(&name) || k.name().eq_ignore_ascii_case(name);
    let any_case =
        |k: &&&dyn ProbeKind| k.aliases().iter().any(|a| a.len() > 1 && a.eq_ignore_ascii_case(name));
    if let Some(kind) = ALL.iter().find(exact).or_else(|| ALL.iter().find(any_case)) {
        return Ok(*kind);
    }
    let mut diag = Diagnostic::error(Code::UNKNOWN_PROBE_TYPE, span, format!("unknown probe type: {name}"));
    let names = ALL.iter().flat_map(|k| std::iter::once(k.name()).chain(k.aliases().iter().copied()));
    // As people write them: `BEGNI` is near `BEGIN`, not `begin`.
    let capital = name.chars().any(char::is_uppercase);
    let names: Vec<String> =
        names.map(|near| if capital { near.to_ascii_uppercase() } else { near.to_string() }).collect();
    if let Some(near) = did_you_mean(name, names.iter().map(String::as_str)) {
        diag = diag.with_help(format!("did you mean `{near}`?"));
    }
    Err(diag)
}

fn bad(ap: &Ap<'_>, kind: &dyn ProbeKind, what: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::BAD_PROBE, ap.span, what.into())
        .with_help(format!("write it as {}", kind.syntax()))
}

/// A number as attach points hold them: decimal, `0x`, or with a leading 0 octal.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    if text.len() > 1 && text.starts_with('0') {
        return u64::from_str_radix(text, 8).ok();
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut names: Vec<&str> =
            ALL.iter().flat_map(|k| std::iter::once(k.name()).chain(k.aliases().iter().copied())).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
    }

    #[test]
    fn usdt_and_uprobe_differ_in_case_only() {
        let span = Span::default();
        let name = |n| kind_named(n, span).map(|k| k.name()).ok();
        assert_eq!((name("U"), name("u")), (Some("usdt"), Some("uprobe")));
        assert_eq!(
            (name("KPROBE"), name("BEGIN"), name("kfunc")),
            (Some("kprobe"), Some("begin"), Some("fentry"))
        );
        assert_eq!(name("kprob"), None);
    }
}
