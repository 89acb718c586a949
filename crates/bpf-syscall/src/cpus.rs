//! Which CPUs there are.

use crate::errno::{Errno, Result, SysError};
use std::fs;

const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// CPUs that may ever come online: per-CPU maps have one value for each.
///
/// # Errors
/// If sysfs is not mounted.
pub fn possible() -> Result<Vec<u32>> {
    read(POSSIBLE)
}

/// CPUs that are online now: where per-CPU events are opened.
///
/// # Errors
/// If sysfs is not mounted.
pub fn online() -> Result<Vec<u32>> {
    read(ONLINE)
}

fn read(path: &str) -> Result<Vec<u32>> {
    let text = fs::read_to_string(path).map_err(|error| {
        SysError::io("open", path, &error).with_hint("mount sysfs: `mount -t sysfs sysfs /sys`")
    })?;
    parse(text.trim()).ok_or_else(|| SysError::new("read", path, Errno::EINVAL))
}

/// Reads a list such as `0-3,8,10-11`.
fn parse(list: &str) -> Option<Vec<u32>> {
    /// More than any kernel is configured for (`NR_CPUS`).
    const MAX: u32 = 1 << 16;
    let mut cpus = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    (!cpus.is_empty()).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_ranges() {
        assert_eq!(parse("0-2,5,7-8"), Some(vec![0, 1, 2, 5, 7, 8]));
        assert_eq!(parse("0"), Some(vec![0]));
        assert_eq!(parse(""), None);
        assert_eq!(parse("0-x"), None);
        assert_eq!(parse("0-4294967295"), None);
    }

    #[test]
    fn online_cpus_are_possible() {
        let possible = possible().expect("sysfs");
        assert!(online().expect("sysfs").iter().all(|cpu| possible.contains(cpu)));
    }
}
