//! `usdt`: static probes of user programs, which are uprobes at the places that the compiler noted.

use crate::error::AttachError;
use crate::point::{AttachPoint, Place};
use hark_object::{Catalog, ProbeSpec, UsdtSite, glob, is_pattern};
use std::path::PathBuf;

/// Every place of every probe that matches, in the order of files and of the notes in them: a probe that was compiled
/// in several times (inlined, in loops) has as many points of one name.
pub(crate) fn expand(
    spec: &ProbeSpec,
    binary: &str,
    provider: Option<&str>,
    (name, sites): (&str, &[u64]),
    catalog: &dyn Catalog,
) -> Result<Vec<AttachPoint>, AttachError> {
    let refused = |error| AttachError::catalog(spec, error);
    let matches = |site: &&UsdtSite| {
        glob(name, &site.name)
            && provider.is_none_or(|p| glob(p, &site.provider))
            && (sites.is_empty() || sites.contains(&site.offset))
    };
    let mut points = Vec::new();
    for path in catalog.binaries(binary).map_err(refused)? {
        let sites = match catalog.usdt_sites(&path) {
            // Among all files that are mapped are some that are no programs.
            Err(_) if is_pattern(binary) => continue,
            sites => sites.map_err(refused)?,
        };
        for site in sites.iter().filter(matches) {
            points.push(point(spec, &path, site)?);
        }
    }
    if points.is_empty() {
        let provider = provider.map(|p| format!("{p}:")).unwrap_or_default();
        return Err(AttachError::missing(spec, format!("{binary} has no static probe {provider}{name}")));
    }
    Ok(points)
}

fn point(spec: &ProbeSpec, path: &str, site: &UsdtSite) -> Result<AttachPoint, AttachError> {
    let too_far =
        |_| AttachError::invalid(spec, "the counter that switches the probe on lies beyond 4 GB in the file");
    // 0 stands for none, and no counter is at the beginning of a file.
    let ref_ctr_offset = u32::try_from(site.semaphore_offset.unwrap_or(0)).map_err(too_far)?;
    let name = ProbeSpec::Usdt {
        binary: path.to_string(),
        provider: Some(site.provider.clone()),
        name: site.name.clone(),
        sites: Vec::new(),
    };
    let place = Place::Uprobe { path: PathBuf::from(path), offset: site.offset, ref_ctr_offset, ret: false };
    Ok(AttachPoint::new(name, place))
}
