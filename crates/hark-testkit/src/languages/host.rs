//! A host for golden cases, read from `tests/fixtures`: its tracepoints, functions and binaries never change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use hark_object::{Catalog, CatalogError, KernelFunction, UsdtSite, UserFunction};

/// The kernel's functions begin here, each 0x1000 after the one before.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;
/// The address at which the binaries' first byte lies.
const BINARY_BASE: u64 = 0x40_0000;
/// Every cgroup has this id.
const CGROUP: u64 = 4711;

/// What `tests/fixtures` says there is.
pub(crate) struct FixtureHost {
    events: PathBuf,
    functions: Arc<[KernelFunction]>,
    binaries: BTreeMap<String, Vec<UserFunction>>,
}

impl FixtureHost {
    /// Reads `functions.txt`, `binaries.txt` and, when asked for, `events/CATEGORY/EVENT/format` below `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let text = |name: &str| {
            std::fs::read_to_string(dir.join(name)).with_context(|| dir.join(name).display().to_string())
        };
        let functions = rows(&text("functions.txt")?)
            .map(|words| KernelFunction {
                name: words[0].clone(),
                module: words.get(1).map(|module| module.trim_matches(['[', ']']).to_owned()),
            })
            .collect();
        let mut binaries: BTreeMap<String, Vec<UserFunction>> = BTreeMap::new();
        for words in rows(&text("binaries.txt")?) {
            let [path, name, addr, size] = words.as_slice() else {
                anyhow::bail!("a row of binaries.txt has four words, not {words:?}");
            };
            let addr = u64::from_str_radix(addr.trim_start_matches("0x"), 16).context("an address")?;
            let function = UserFunction {
                name: name.clone(),
                addr,
                size: size.parse().context("a size")?,
                offset: addr - BINARY_BASE,
            };
            binaries.entry(path.clone()).or_default().push(function);
        }
        Ok(Self { events: dir.join("events"), functions, binaries })
    }

    fn binary(&self, path: &str) -> Result<&[UserFunction], CatalogError> {
        let message = format!("{path}: no such file");
        self.binaries.get(path).map(Vec::as_slice).ok_or(CatalogError { message, help: None })
    }
}

/// The words of each line that is no comment.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect())
}

/// The names in a directory, sorted; none if it is not there.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Catalog for FixtureHost {
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError> {
        let of = |category: String| {
            names(&self.events.join(&category)).into_iter().map(move |event| (category.clone(), event))
        };
        Ok(names(&self.events).into_iter().flat_map(of).collect())
    }

    fn tracepoint_format(&self, category: &str, event: &str) -> Result<Option<String>, CatalogError> {
        Ok(std::fs::read_to_string(self.events.join(category).join(event).join("format")).ok())
    }

    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError> {
        Ok(Arc::clone(&self.functions))
    }

    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, CatalogError> {
        Ok((0u64..)
            .zip(self.functions.iter())
            .find(|(_, f)| f.name == name)
            .map(|(i, _)| KERNEL_TEXT + i * 0x1000))
    }

    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError> {
        let file = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let found: Vec<String> = self
            .binaries
            .keys()
            .filter(|path| {
                *path == spec || file(path) == spec || file(path).strip_suffix(".so.6") == Some(spec)
            })
            .cloned()
            .collect();
        let message = format!("{spec}: no such file");
        if found.is_empty() { Err(CatalogError { message, help: None }) } else { Ok(found) }
    }

    fn user_functions(&self, path: &str) -> Result<Arc<[UserFunction]>, CatalogError> {
        Ok(self.binary(path)?.into())
    }

    fn file_offset(&self, path: &str, addr: u64) -> Result<Option<u64>, CatalogError> {
        self.binary(path)?;
        Ok(addr.checked_sub(BINARY_BASE))
    }

    fn usdt_probes(&self, path: &str) -> Result<Arc<[(String, String)]>, CatalogError> {
        self.binary(path)?;
        Ok(Arc::new([]))
    }

    fn usdt_sites(&self, path: &str) -> Result<Arc<[UsdtSite]>, CatalogError> {
        self.binary(path)?;
        Ok(Arc::new([]))
    }

    fn cgroup_id(&self, _path: &str) -> Result<u64, CatalogError> {
        Ok(CGROUP)
    }
}
