//! The accuracy report: what a run did not see, by cause and probe.

use crate::actions::Actions;
use crate::attach::LoadedProgram;
use crate::error::RunError;
use crate::load::Maps;
use crate::value::word;
use hark_object::{Loss, MapRole};
use std::time::{Duration, Instant};

/// Reports every loss that happened; returns whether there was any.
///
/// # Errors
/// If the counters cannot be read or the output not be written.
pub(crate) fn report(
    programs: &[LoadedProgram<'_>],
    missed: &[u64],
    maps: &Maps,
    actions: &mut Actions<'_>,
) -> Result<bool, RunError> {
    let mut rows = counters(actions, maps)?;
    for (row, n) in crate::failures::rows(actions, maps)? {
        rows.resize(rows.len().max(row as usize + 1), 0);
        rows[row as usize] += n;
    }
    let several = programs.len() > 1;
    let object = actions.object;
    let name = |program: usize| {
        object.programs.get(program).map(|program| program.name.as_str()).filter(|_| several)
    };
    let mut lost: Vec<(Loss, u64, Option<&str>)> = Vec::new();
    let mut lost_events = 0;
    for (row, n) in (0..).zip(rows) {
        let (program, loss) = Loss::of_row(row);
        if loss == Loss::RingFull {
            lost_events += n;
        }
        lost.push((loss, n, name(program as usize)));
    }
    for (program, missed) in programs.iter().zip(missed) {
        lost.push((Loss::MissedCall, *missed, Some(&program.def.name)));
        // Kernels that do not count this say nothing.
        let skipped = actions.kernel.prog_info(&program.fd).map_or(0, |info| info.recursion_misses);
        lost.push((Loss::Skipped, skipped, Some(&program.def.name)));
    }
    lost.push((Loss::Folded, actions.folded, None));
    let mut any = false;
    for (loss, n, program) in lost.into_iter().filter(|(_, n, _)| *n > 0) {
        any = true;
        actions.output.lost(loss, n, program)?;
    }
    if lost_events > 0 {
        actions.output.total_lost(lost_events)?;
    }
    Ok(any)
}

/// The counters of all CPUs together, by row.
fn counters(actions: &Actions<'_>, maps: &Maps) -> Result<Vec<u64>, RunError> {
    let Some((def, fd)) = maps.of_role(actions.object, &MapRole::Losses) else { return Ok(Vec::new()) };
    let words = def.value_size as usize / 8;
    let mut value = vec![0; fd.shape().value_bytes()];
    let mut rows = Vec::new();
    for key in 0..def.max_entries {
        let found = actions.kernel.map_lookup(fd, &key.to_le_bytes(), &mut value);
        found.map_err(|error| RunError::Map { name: def.name.clone(), error })?;
        rows.extend(
            (0..words)
                .map(|i| value.chunks_exact(fd.shape().stride()).map(|cpu| word(cpu, i * 8)).sum::<u64>()),
        );
    }
    Ok(rows)
}

/// Tells of lost events while the script runs, now and then.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    told: u64,
    looked: Option<Instant>,
}

impl Watch {
    /// Tells of events that were lost since the last time; unless `now`, only if that was a while ago.
    pub(crate) fn tell(&mut self, actions: &mut Actions<'_>, maps: &Maps, now: bool) -> Result<(), RunError> {
        /// Between two looks.
        const WHILE: Duration = Duration::from_secs(1);
        if !now && self.looked.is_some_and(|at| at.elapsed() < WHILE) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let rows = counters(actions, maps)?;
        let full = (0..).zip(&rows).filter(|(row, _)| Loss::of_row(*row).1 == Loss::RingFull);
        let lost: u64 = full.map(|(_, n)| n).sum();
        if lost > self.told {
            actions.output.lost_meanwhile(lost - self.told)?;
            self.told = lost;
        }
        Ok(())
    }
}
