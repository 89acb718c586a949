//! What a probe that does not exist was probably meant to be.

use bpf_facts::renamed;
use hark_object::{Catalog, ProbeSpec, UserLocation};

/// A hint about a probe that does not exist: what the function is called today, or the nearest name there is.
///
/// Reads the host's lists through `catalog`, which may be long: only for an error that is about to be shown.
pub fn suggestion(spec: &ProbeSpec, catalog: &dyn Catalog) -> Option<String> {
    let did_you_mean = |name: String| Some(format!("did you mean `{name}`?"));
    match spec {
        ProbeSpec::Kprobe { func, ret, .. } => {
            let functions = catalog.kernel_functions().ok()?;
            let exists = |name: &str| functions.iter().any(|f| f.name == name);
            let kind = if *ret { "kretprobe" } else { "kprobe" };
            if let Some(now) = renamed(func).filter(|now| exists(now.new)) {
                return Some(format!(
                    "did you mean `{kind}:{}`? {func} is called so since Linux {}",
                    now.new, now.since
                ));
            }
            // The compiler makes such copies; the function itself was inlined everywhere.
            let copy = functions
                .iter()
                .find(|f| f.name.strip_prefix(func.as_str()).is_some_and(|s| s.starts_with('.')));
            if let Some(copy) = copy {
                return did_you_mean(format!("{kind}:{}", copy.name));
            }
            let near = hark_diag::did_you_mean(func, functions.iter().map(|f| f.name.as_str()))?;
            did_you_mean(format!("{kind}:{near}"))
        }
        ProbeSpec::Tracepoint { category, event } => {
            let all = catalog.tracepoints().ok()?;
            let wanted = format!("{category}:{event}");
            let names: Vec<String> = all.iter().map(|(c, e)| format!("{c}:{e}")).collect();
            let near = hark_diag::did_you_mean(&wanted, names.iter().map(String::as_str))?;
            did_you_mean(format!("tracepoint:{near}"))
        }
        ProbeSpec::Uprobe { binary, at: UserLocation::Symbol { name, .. }, ret } => {
            let path = catalog.binaries(binary).ok()?.into_iter().next()?;
            let functions = catalog.user_functions(&path).ok()?;
            let near = hark_diag::did_you_mean(name, functions.iter().map(|f| f.name.as_str()))?;
            let kind = if *ret { "uretprobe" } else { "uprobe" };
            did_you_mean(format!("{kind}:{binary}:{near}"))
        }
        _ => None,
    }
}
