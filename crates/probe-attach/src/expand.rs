//! From what the script says to where programs are attached.

use crate::error::AttachError;
use crate::kinds;
use crate::point::AttachPoint;
use hark_object::{Catalog, ProbeSpec};

/// The places that `spec` stands for, in the order of their names where it holds wildcards. Never empty.
///
/// Looks at the host through `catalog` alone. Kernel functions named without wildcards are not looked up: attaching
/// tells whether they exist.
///
/// # Errors
/// [`AttachError::Missing`] if there is no such place; others if the lists cannot be read or the probe makes no sense.
pub fn expand(spec: &ProbeSpec, catalog: &dyn Catalog) -> Result<Vec<AttachPoint>, AttachError> {
    match spec {
        ProbeSpec::Begin
        | ProbeSpec::End
        | ProbeSpec::SelfSignal { .. }
        | ProbeSpec::Test(_)
        | ProbeSpec::Bench(_) => Ok(kinds::on_demand::expand(spec)),
        ProbeSpec::Interval { period_ns, .. } => kinds::timer::interval(spec, *period_ns),
        ProbeSpec::Profile { period_ns, hz, .. } => kinds::timer::profile(spec, *period_ns, *hz),
        ProbeSpec::Software { event, count } => kinds::counter::software(spec, event, *count),
        ProbeSpec::Hardware { event, count } => kinds::counter::hardware(spec, event, *count),
        ProbeSpec::Watchpoint { addr, len, mode } => kinds::watchpoint::expand(spec, *addr, *len, mode),
        ProbeSpec::Tracepoint { category, event } => {
            kinds::tracepoint::expand(spec, category, event, catalog)
        }
        ProbeSpec::RawTracepoint { event } => kinds::raw_tracepoint::expand(spec, event, catalog),
        ProbeSpec::Kprobe { module, func, offset, ret } => {
            kinds::kprobe::expand(spec, module.as_deref(), func, (*offset, *ret), catalog)
        }
        ProbeSpec::KprobeAddr { addr } => Ok(kinds::kprobe::at_address(spec, *addr)),
        ProbeSpec::Fentry { .. } => Ok(kinds::typed::fentry(spec)),
        ProbeSpec::Iter { .. } => Ok(kinds::typed::iter(spec)),
        ProbeSpec::Uprobe { binary, at, ret } => kinds::uprobe::expand(spec, binary, at, *ret, catalog),
        ProbeSpec::Usdt { binary, provider, name, sites } => {
            kinds::usdt::expand(spec, binary, provider.as_deref(), (name, sites), catalog)
        }
    }
}
