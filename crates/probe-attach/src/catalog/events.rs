//! Tracepoints, as tracefs lists them.

use super::{Answer, Pairs, unreadable};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// `(category, event)` of all tracepoints, sorted.
///
/// Probes that others have made by writing to tracefs are listed as well: they can be traced like any other event.
pub(super) fn list(tracefs: &Path) -> Answer<Pairs> {
    let path = tracefs.join("available_events");
    // One file instead of two thousand directories.
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    let mut all: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(category, event)| (category.to_string(), event.to_string()))
        .collect();
    all.sort_unstable();
    Ok(all.into())
}

/// The format of one; `None` if there is none.
pub(super) fn format(tracefs: &Path, category: &str, event: &str) -> Answer<Option<String>> {
    // Names come from scripts: they must not lead elsewhere.
    if [category, event].iter().any(|name| name.is_empty() || name.contains('/') || name.starts_with('.')) {
        return Ok(None);
    }
    let path = tracefs.join("events").join(category).join(event).join("format");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path, &error)),
    }
}
