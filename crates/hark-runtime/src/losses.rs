//! The accuracy report: what a run did not see, by cause and probe.

use crate::attach::LoadedProgram;
use crate::error::RunError;
use crate::load::Maps;
use crate::output::Output;
use crate::value::word;
use bpf_syscall::Kernel;
use hark_object::{Loss, MapRole, Object};

/// Reports every loss that happened; returns whether there was any.
///
/// # Errors
/// If the counters cannot be read or the output not be written.
pub(crate) fn report(
    kernel: &dyn Kernel,
    object: &Object,
    maps: &Maps,
    programs: &[LoadedProgram<'_>],
    output: &mut Output<'_>,
) -> Result<bool, RunError> {
    let rows = counters(kernel, object, maps)?;
    let per_program = rows.len() > Loss::ALL.len();
    let mut lost = false;
    for (row, n) in (0..).zip(rows).filter(|(_, n)| *n > 0) {
        lost = true;
        let (program, loss) = Loss::of_row(row);
        let name = object.programs.get(program as usize).map(|program| program.name.as_str());
        output.lost(loss, n, name.filter(|_| per_program))?;
    }
    for program in programs {
        // Kernels that do not count this say nothing.
        let missed = kernel.prog_info(&program.fd).map_or(0, |info| info.recursion_misses);
        if missed > 0 {
            lost = true;
            output.lost(Loss::Nested, missed, Some(&program.def.name))?;
        }
    }
    Ok(lost)
}

/// The counters of all CPUs together, by row.
fn counters(kernel: &dyn Kernel, object: &Object, maps: &Maps) -> Result<Vec<u64>, RunError> {
    let Some((def, fd)) = maps.of_role(object, &MapRole::Losses) else { return Ok(Vec::new()) };
    let words = def.value_size as usize / 8;
    let mut value = vec![0; fd.shape().value_bytes()];
    let mut rows = Vec::new();
    for key in 0..def.max_entries {
        let found = kernel.map_lookup(fd, &key.to_le_bytes(), &mut value);
        found.map_err(|error| RunError::Map { name: def.name.clone(), error })?;
        rows.extend(
            (0..words)
                .map(|i| value.chunks_exact(fd.shape().stride()).map(|cpu| word(cpu, i * 8)).sum::<u64>()),
        );
    }
    Ok(rows)
}
