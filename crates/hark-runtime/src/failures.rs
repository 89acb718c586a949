//! Helpers that failed: programs note them at their places, and we look now and then.

use crate::actions::Actions;
use crate::error::RunError;
use crate::load::Maps;
use crate::value::word;
use bpf_syscall::{Kernel, MapFd};
use hark_object::{FailureSite, Loss, MapDef, MapRole, Object};
use std::time::Duration;

/// How often to look when nothing else happens.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// So often a place is told of while the script runs; what follows is in the report.
const TOLD: u32 = 10;

/// Where failures are noted, if any can be.
fn map<'a>(object: &'a Object, maps: &'a Maps) -> Option<(&'a MapDef, &'a [FailureSite], &'a MapFd)> {
    object.maps.iter().enumerate().find_map(|(i, def)| match &def.role {
        MapRole::Failures(sites) => {
            let fd = maps.get(ebpf_asm::MapRef(i as u32)).ok()?;
            Some((def, sites.as_slice(), fd))
        }
        _ => None,
    })
}

/// The count of each site and what was returned last.
fn notes(kernel: &dyn Kernel, def: &MapDef, fd: &MapFd) -> Result<Vec<(u64, i32)>, RunError> {
    let mut value = vec![0; fd.shape().value_bytes()];
    let found = kernel.map_lookup(fd, &[0; 4], &mut value);
    found.map_err(|error| RunError::Map { name: def.name.clone(), error })?;
    let site = |bytes: &[u8]| (word(bytes, 0), word(bytes, FailureSite::RESULT as usize) as i32);
    Ok(value.chunks_exact(FailureSite::SIZE as usize).map(site).collect())
}

/// How often something was lost by failures, by row of [`Loss::row`].
pub(crate) fn rows(actions: &Actions<'_>, maps: &Maps) -> Result<Vec<(u32, u64)>, RunError> {
    let Some((def, sites, fd)) = map(actions.object, maps) else { return Ok(Vec::new()) };
    let counts = notes(actions.kernel, def, fd)?;
    let row = |site: &FailureSite| site.loss.map(|loss: Loss| loss.row(site.program));
    Ok(sites.iter().zip(counts).filter_map(|(site, (n, _))| Some((row(site)?, n))).collect())
}

/// Tells of failures while the script runs.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Of each site, what had been counted when it was looked at last, and how often it was told of.
    seen: Vec<(u64, u32)>,
}

impl Failures {
    pub(crate) fn new(object: &Object, maps: &Maps) -> Self {
        Self { seen: vec![(0, 0); map(object, maps).map_or(0, |(_, sites, _)| sites.len())] }
    }

    /// Whether any can come.
    pub(crate) fn are_possible(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Tells of every place where something failed since the last time.
    pub(crate) fn tell(&mut self, actions: &mut Actions<'_>, maps: &Maps) -> Result<(), RunError> {
        let Some((def, sites, fd)) = map(actions.object, maps) else { return Ok(()) };
        let notes = notes(actions.kernel, def, fd)?;
        for ((site, (count, result)), (seen, told)) in sites.iter().zip(notes).zip(&mut self.seen) {
            if count > *seen && *told < TOLD {
                *told += 1;
                actions.output.helper_error(site.span, &site.helper, result.into())?;
            }
            *seen = count;
        }
        Ok(())
    }
}
