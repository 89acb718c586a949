//! Files that scripts take in, from this machine's disk.

use hark_compiler::{Files, SourceText, Sources, Target, gather};
use hark_diag::{FileId, SourceMap};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Finds what the script in `file` takes in; `dirs` are those of `-I`, `headers` those of `--include`.
pub(crate) fn linked(
    map: &mut SourceMap,
    file: FileId,
    target: &Target,
    dirs: &[String],
    headers: &[String],
) -> Sources {
    gather(map, file, target, &HostFiles { dirs }, headers)
}

struct HostFiles<'a> {
    dirs: &'a [String],
}

impl Files for HostFiles<'_> {
    fn import(&self, from: &str, path: &str) -> Result<Vec<SourceText>, String> {
        // What bpftrace keeps in its standard library is built in here.
        if path == "stdlib" || path.starts_with("stdlib/") {
            return Ok(Vec::new());
        }
        let found = beside(from).join(path);
        let real = fs::canonicalize(&found).map_err(|e| format!("cannot import {}: {e}", found.display()))?;
        trusted(&real)?;
        if !real.is_dir() {
            return match kind(&real) {
                true => Ok(vec![read(&found, &real)?]),
                false => Err(format!("cannot import {}: only .bt and .h files are", found.display())),
            };
        }
        let failed = |e: std::io::Error| format!("cannot read {}: {e}", found.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&real).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if kind(Path::new(&name)) {
                names.push(name);
            }
        }
        // Types before the scripts that use them; the order of a directory is no order.
        names.sort_by_key(|name| (Path::new(name).extension().is_some_and(|e| e == "bt"), name.clone()));
        names
            .iter()
            .map(|name| {
                let real = fs::canonicalize(real.join(name)).map_err(failed)?;
                trusted(&real)?;
                read(&found.join(name), &real)
            })
            .collect()
    }

    fn header(&self, from: &str, path: &str, system: bool) -> Result<Option<SourceText>, String> {
        let near = (!system).then(|| beside(from));
        let places = near.into_iter().chain(self.dirs.iter().map(PathBuf::from));
        for place in places {
            let found = place.join(path);
            if let Ok(real) = fs::canonicalize(&found)
                && real.is_file()
            {
                return read(&found, &real).map(Some);
            }
        }
        Ok(None)
    }
}

/// The directory that paths in a file are relative to.
fn beside(file: &str) -> PathBuf {
    Path::new(file).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Whether it can be imported, by its name.
fn kind(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "bt" || e == "h")
}

/// Refuses what anyone could have put there: hark runs as root.
fn trusted(path: &Path) -> Result<(), String> {
    for part in path.ancestors() {
        let open = fs::metadata(part).is_ok_and(|m| m.permissions().mode() & 0o002 != 0);
        if open {
            return Err(format!(
                "will not import {}: everyone may write to {}",
                path.display(),
                part.display()
            ));
        }
    }
    Ok(())
}

fn read(shown: &Path, real: &Path) -> Result<SourceText, String> {
    let failed = |e: std::io::Error| format!("cannot read {}: {e}", shown.display());
    let size = fs::metadata(real).map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(format!("{} has {size} bytes; at most {MAX_FILE} are read", shown.display()));
    }
    let bytes = fs::read(real).map_err(failed)?;
    Ok(SourceText {
        name: shown.display().to_string(),
        key: real.display().to_string(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}
