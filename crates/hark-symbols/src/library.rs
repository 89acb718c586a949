//! From what a script writes to the files it means: `/usr/bin/ba*`, `libc`, `bash`, `*`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::elf::Machine;
use crate::glob::glob_match;
use crate::ld_cache::LdCache;
use crate::map_file::map_file;
use crate::proc_maps::ProcMaps;

/// The machine this runs on.
pub const HOST: Machine = if cfg!(target_arch = "aarch64") { Machine::Aarch64 } else { Machine::X86_64 };

/// Where to look for libraries that the linker's cache does not name (musl has no cache).
const LIBRARY_DIRS: &[&str] = &[
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// Why there is no file to attach to. Each names what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// No file has this path or fits this pattern.
    #[error("no such file: {0}")]
    NoFile(String),
    /// The linker knows no library of this name.
    #[error("no library `{0}` in /etc/ld.so.cache or the usual directories")]
    NoLibrary(String),
    /// No directory of `PATH` has this command.
    #[error("no `{0}` in PATH; a path with a slash names a file directly")]
    NoCommand(String),
}

/// The file system in which names are looked up.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// `/`, or `/proc/PID/root` for a process in a container.
    pub root: &'a Path,
    /// The variable `PATH`.
    pub path: &'a str,
}

impl Search<'_> {
    /// The files that `spec` means: a path (with `*` and `?` in any part), a library (`libc`, `libssl.so.3`), or
    /// the first command of this name in `PATH`. Several only for a pattern; then sorted.
    ///
    /// # Errors
    /// [`LibraryError`] when there is none.
    pub fn resolve(&self, spec: &str) -> Result<Vec<PathBuf>, LibraryError> {
        if spec.contains('/') {
            let found = if is_pattern(spec) { self.expand(spec) } else { self.existing(Path::new(spec)) };
            return if found.is_empty() { Err(LibraryError::NoFile(spec.to_owned())) } else { Ok(found) };
        }
        if spec.starts_with("lib")
            && let Some(found) = self.library(spec)
        {
            return Ok(vec![found]);
        }
        let in_path =
            self.path.split(':').filter(|dir| dir.starts_with('/')).map(|dir| Path::new(dir).join(spec));
        let command = in_path.flat_map(|p| self.existing(&p)).next();
        match command {
            Some(found) => Ok(vec![found]),
            None if spec.starts_with("lib") => Err(LibraryError::NoLibrary(spec.to_owned())),
            None => Err(LibraryError::NoCommand(spec.to_owned())),
        }
    }

    /// The library of this name.
    pub fn library(&self, name: &str) -> Option<PathBuf> {
        let cache = map_file(&self.inside(Path::new("/etc/ld.so.cache"))).ok();
        let cached = cache
            .and_then(|bytes| LdCache::parse(&bytes))
            .and_then(|c| c.find(name, HOST).and_then(|entry| self.existing(Path::new(&entry.path)).pop()));
        let found = cached.or_else(|| {
            LIBRARY_DIRS.iter().find_map(|dir| {
                let exact = self.existing(&Path::new(dir).join(name)).pop();
                exact.or_else(|| self.expand(&format!("{dir}/{name}.so*")).into_iter().next())
            })
        })?;
        // Nobody wrote this path, so it is the file's own. Links in a container's root would lead out of it.
        Some(if self.root == Path::new("/") { fs::canonicalize(&found).unwrap_or(found) } else { found })
    }

    fn inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(rest) => self.root.join(rest),
            // A relative path is the caller's, not the container's.
            Err(_) => path.to_owned(),
        }
    }

    /// The file at `path`, or nothing.
    fn existing(&self, path: &Path) -> Vec<PathBuf> {
        let path = self.inside(path);
        if path.is_file() { vec![path] } else { Vec::new() }
    }

    /// The files that fit a pattern, sorted.
    fn expand(&self, pattern: &str) -> Vec<PathBuf> {
        let start = if pattern.starts_with('/') { self.root.to_owned() } else { PathBuf::from(".") };
        let mut found = vec![start];
        for part in Path::new(pattern).components() {
            let part = match part {
                Component::Normal(part) => part.to_string_lossy(),
                Component::ParentDir => "..".into(),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            };
            found = found.into_iter().flat_map(|dir| step(&dir, &part)).collect();
        }
        found.retain(|p| p.is_file());
        found.sort();
        found
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// What in `dir` fits one part of a pattern.
fn step(dir: &Path, part: &str) -> Vec<PathBuf> {
    if !is_pattern(part) {
        return vec![dir.join(part)];
    }
    let names = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // As in the shell, a pattern does not find hidden files.
    names
        .filter(|name| (!name.starts_with('.') || part.starts_with('.')) && glob_match(part, name))
        .map(|name| dir.join(name))
        .collect()
}

/// A file of a process, by a path that we can open: its own one, unless that means another file or none to us, as
/// where the process is in a container; then the way goes through `/proc/PID/root`.
pub fn seen_by(pid: u32, path: &Path) -> PathBuf {
    let Ok(inside) = path.strip_prefix("/") else { return path.to_owned() };
    let through_root = Path::new("/proc").join(pid.to_string()).join("root").join(inside);
    let file = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    match (file(path), file(&through_root)) {
        (ours, Some(theirs)) if ours != Some(theirs) => through_root,
        _ => path.to_owned(),
    }
}

/// The files that a process, or any process, has mapped as code, by paths that we can open; sorted. For `uprobe:*:f`.
///
/// # Errors
/// When the process does not exist or may not be looked at; without a pid, when `/proc` cannot be listed.
pub fn mapped_files(pid: Option<u32>) -> io::Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut add = |pid: u32| -> io::Result<()> {
        let text = fs::read(format!("/proc/{pid}/maps"))?;
        let maps = ProcMaps::parse(&String::from_utf8_lossy(&text));
        let paths: BTreeSet<&Path> = maps.iter().filter(|m| m.executable).filter_map(|m| m.path()).collect();
        found.extend(paths.into_iter().map(|path| seen_by(pid, path)));
        Ok(())
    };
    match pid {
        Some(pid) => add(pid)?,
        None => {
            let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            for pid in names.filter_map(|name| name.parse().ok()) {
                // A process may end meanwhile.
                let _ = add(pid);
            }
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Search<'static> {
        Search { root: Path::new("/"), path: "/nowhere:/usr/bin:/bin" }
    }

    #[test]
    fn resolves_paths_patterns_and_commands() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/library.rs");
        assert_eq!(here().resolve(source), Ok(vec![PathBuf::from(source)]));
        let pattern = concat!(env!("CARGO_MANIFEST_DIR"), "/s?c/lib*.rs");
        let names: Vec<_> = here()
            .resolve(pattern)
            .expect("two files")
            .into_iter()
            .map(|p| p.file_name().map(|n| n.to_owned()))
            .collect();
        assert_eq!(names, [Some("lib.rs".into()), Some("library.rs".into())]);
        assert!(here().resolve("sh").is_ok_and(|found| found[0].ends_with("sh")));
    }

    #[test]
    fn names_what_is_not_there() {
        let error = |spec| here().resolve(spec).expect_err(spec).to_string();
        assert_eq!(error("/no/such"), "no such file: /no/such");
        assert_eq!(error("/no/such*"), "no such file: /no/such*");
        assert!(error("libnosuch").contains("no library `libnosuch`"));
        assert!(error("nosuchcommand").contains("no `nosuchcommand` in PATH"));
    }

    /// On any machine that links this test dynamically.
    #[test]
    fn finds_the_c_library_and_the_mapped_files() {
        let files = mapped_files(Some(std::process::id())).expect("own maps");
        assert!(files.contains(&std::env::current_exe().expect("own path")));
        if let Some(libc) = files.iter().find(|f| f.to_string_lossy().contains("/libc.so.6")) {
            let found = here().resolve("libc").expect("libc").remove(0);
            assert_eq!(fs::canonicalize(found).ok(), fs::canonicalize(libc).ok());
        }
    }
}
