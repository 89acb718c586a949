//! What this machine offers to attach to, read when asked for and kept.
//!
//! A script pays for what it uses: an exact tracepoint costs one small file, a pattern the list of all.

mod events;
mod signatures;
mod static_probes;
mod unwind;

use bpf_syscall::{TraceFs, host};
use hark_object::unwind::UnwindTables;
use hark_object::{
    Catalog, CatalogError, KernelFunction, UsdtSite, UserFunction, UserSignature, glob, is_pattern,
};
use hark_symbols::dwarf::DebugInfo;
use hark_symbols::library::{Search, mapped_files, seen_by};
use hark_symbols::{
    DebugDirs, Elf, Kallsyms, demangle_cpp, demangle_rust, map_file, traceable_functions, without_parameters,
};
use std::collections::HashMap;
use std::env;
use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

type Answer<T> = Result<T, CatalogError>;

/// Pairs of names: category and event, provider and probe.
type Pairs = Arc<[(String, String)]>;

/// The machine we run on, as a catalogue of probes.
#[derive(Debug, Default)]
pub struct HostCatalog {
    /// The process that is traced, if it is one: `*` then means the files it has mapped, and names are looked up in
    /// its file system.
    pid: Option<u32>,
    /// The file that lists functions instead of the kernel's own list.
    traceable: Option<PathBuf>,
    debug_dirs: DebugDirs,
    tracefs: OnceLock<Answer<TraceFs>>,
    tracepoints: OnceLock<Answer<Pairs>>,
    functions: OnceLock<Answer<Arc<[KernelFunction]>>>,
    kallsyms: OnceLock<Answer<Kallsyms>>,
    formats: Kept<(String, String), Option<String>>,
    user_functions: Kept<String, Arc<[UserFunction]>>,
    demangled: Kept<String, Arc<[UserFunction]>>,
    signatures: Kept<(String, String), Option<Arc<UserSignature>>>,
    usdt_sites: Kept<String, Arc<[UsdtSite]>>,
}

/// Answers by question.
#[derive(Debug)]
struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Kept(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// The answer to `question`, computed once. Failures are not kept.
    fn get(&self, question: K, answer: impl FnOnce(&K) -> Answer<V>) -> Answer<V> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = kept().get(&question) {
            return Ok(answer.clone());
        }
        let answer = answer(&question)?;
        kept().insert(question, answer.clone());
        Ok(answer)
    }
}

fn failed(message: impl Into<String>) -> CatalogError {
    CatalogError { message: message.into(), help: None }
}

fn unreadable(path: &Path, error: &std::io::Error) -> CatalogError {
    let help = (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| "run as root".to_string());
    CatalogError { message: format!("cannot read {}: {error}", path.display()), help }
}

impl HostCatalog {
    /// A catalogue of which nothing has been read yet.
    pub fn new() -> HostCatalog {
        HostCatalog::default()
    }

    /// A catalogue for tracing one process.
    pub fn for_process(pid: u32) -> HostCatalog {
        HostCatalog { pid: Some(pid), ..HostCatalog::default() }
    }

    /// Takes the functions that may be traced from this file, which looks as tracefs's `available_filter_functions`.
    #[must_use]
    pub fn with_traceable_functions(self, path: Option<PathBuf>) -> HostCatalog {
        HostCatalog { traceable: path, ..self }
    }

    /// Looks for debug files in these directories, too.
    #[must_use]
    pub fn with_debug_dirs(self, debug_dirs: DebugDirs) -> HostCatalog {
        HostCatalog { debug_dirs, ..self }
    }

    /// The tracefs directory; mounted privately if it is not mounted anywhere.
    ///
    /// # Errors
    /// If there is none that we may read.
    pub fn tracefs(&self) -> Answer<&Path> {
        let find = || {
            TraceFs::find().map_err(|error| CatalogError {
                message: format!("cannot read tracefs: {error}"),
                help: Some(error.hint.unwrap_or("run as root").to_string()),
            })
        };
        self.tracefs.get_or_init(find).as_ref().map(TraceFs::path).map_err(Clone::clone)
    }

    fn kallsyms(&self) -> Answer<&Kallsyms> {
        let path = Path::new("/proc/kallsyms");
        let read = || map_file(path).map(Kallsyms::parse).map_err(|error| unreadable(path, &error));
        self.kallsyms.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    fn read_functions(&self) -> Answer<Arc<[KernelFunction]>> {
        let path = match &self.traceable {
            Some(path) => path.clone(),
            None => self.tracefs()?.join("available_filter_functions"),
        };
        let mut functions: Vec<KernelFunction> = match fs::read_to_string(&path) {
            Ok(text) => traceable_functions(&text)
                .map(|f| KernelFunction { name: f.name.to_string(), module: f.module.map(str::to_string) })
                .collect(),
            // A kernel without function tracing, where kprobes are breakpoints and may sit in most code; or one that
            // is locked down, where scripts can still be compiled.
            Err(error) if self.traceable.is_some() => return Err(unreadable(&path, &error)),
            Err(error) => match self.kallsyms() {
                Ok(kallsyms) => kallsyms
                    .symbols()
                    .filter(|symbol| matches!(symbol.letter, b't' | b'T') && !is_padding(symbol.name))
                    .map(|s| KernelFunction {
                        name: s.name.to_string(),
                        module: s.module.map(str::to_string),
                    })
                    .collect(),
                Err(_) => return Err(unreadable(&path, &error)),
            },
        };
        functions.sort_by(|a, b| (&a.name, &a.module).cmp(&(&b.name, &b.module)));
        Ok(functions.into())
    }

    fn elf(&self, path: &str) -> Answer<Elf> {
        Elf::open_with_debug(Path::new(path), &self.debug_dirs).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
            failed(format!("{error}{}", cause.unwrap_or_default()))
        })
    }
}

/// Whether a symbol of the text section names what no caller calls: room before functions that the compiler left
/// (`__pfx_`, `__cfi_`), patched call sites (`__SCT__`, kernel's include/linux/static_call_types.h), labels of assembly.
fn is_padding(name: &str) -> bool {
    ["__pfx_", "__cfi_", "__SCT__", "."].iter().any(|prefix| name.starts_with(prefix))
}

impl Catalog for HostCatalog {
    fn tracepoints(&self) -> Answer<Pairs> {
        self.tracepoints.get_or_init(|| events::list(self.tracefs()?)).clone()
    }

    fn tracepoint_format(&self, category: &str, event: &str) -> Answer<Option<String>> {
        self.formats.get((category.to_string(), event.to_string()), |(category, event)| {
            events::format(self.tracefs()?, category, event)
        })
    }

    fn kernel_functions(&self) -> Answer<Arc<[KernelFunction]>> {
        self.functions.get_or_init(|| self.read_functions()).clone()
    }

    fn has_kprobes(&self) -> bool {
        let sources = Path::new("/sys/bus/event_source/devices");
        self.traceable.is_some() || !sources.exists() || sources.join("kprobe").exists()
    }

    fn kernel_symbol(&self, name: &str) -> Answer<Option<u64>> {
        let symbols = self.kallsyms()?;
        if symbols.is_hidden() {
            return Err(CatalogError {
                message: "the kernel hides its addresses".into(),
                help: Some("run as root, and see kernel.kptr_restrict".into()),
            });
        }
        Ok(symbols.addr_of(name))
    }

    fn unwind_tables(&self, pid: u32) -> Answer<UnwindTables> {
        unwind::tables(pid)
    }

    fn binaries(&self, spec: &str) -> Answer<Vec<String>> {
        let files = if spec == "*" {
            mapped_files(self.pid)
                .map_err(|error| failed(format!("cannot list the files that processes run: {error}")))?
        } else {
            let root = self.pid.map_or_else(|| PathBuf::from("/"), |pid| format!("/proc/{pid}/root").into());
            let path = env::var("PATH").unwrap_or_default();
            // What a process in a container names differently from us is looked for there first.
            let inside = Search { root: &root, path: &path }.resolve(spec);
            let found = inside.or_else(|_| Search { root: Path::new("/"), path: &path }.resolve(spec));
            let mut found = found.map_err(|error| failed(error.to_string()))?;
            // Where both of us mean the same file, its own name is the better one.
            if let Some(pid) = self.pid {
                for path in &mut found {
                    if let Ok(inside) = path.strip_prefix(&root) {
                        *path = seen_by(pid, &Path::new("/").join(inside));
                    }
                }
            }
            found
        };
        Ok(files.iter().map(|file| file.to_string_lossy().into_owned()).collect())
    }

    fn user_functions(&self, path: &str) -> Answer<Arc<[UserFunction]>> {
        self.user_functions.get(path.to_string(), |path| {
            let elf = self.elf(path)?;
            let function = |symbol: hark_symbols::Symbol<'_>| {
                Some(UserFunction {
                    name: symbol.name.to_string(),
                    addr: symbol.addr,
                    size: symbol.size,
                    offset: elf.file_offset(symbol.addr)?,
                })
            };
            Ok(elf.functions().into_iter().filter_map(function).collect())
        })
    }

    fn file_offset(&self, path: &str, addr: u64) -> Answer<Option<u64>> {
        Ok(self.elf(path)?.file_offset(addr))
    }

    fn demangled_functions(&self, path: &str, wanted: &str) -> Answer<Vec<UserFunction>> {
        let all = self.demangled.get(path.to_string(), |path| {
            let functions = self.user_functions(path)?;
            let demangled = functions.iter().filter_map(|function| {
                let name = demangle_cpp(&function.name).or_else(|| demangle_rust(&function.name))?;
                Some(UserFunction { name, ..function.clone() })
            });
            let mut all: Vec<UserFunction> = demangled.collect();
            all.sort_by(|a, b| (&a.name, a.addr).cmp(&(&b.name, b.addr)));
            Ok(all.into())
        })?;
        let is_wanted = |name: &str| if is_pattern(wanted) { glob(wanted, name) } else { wanted == name };
        let matches = |f: &&UserFunction| is_wanted(&f.name) || is_wanted(without_parameters(&f.name));
        Ok(all.iter().filter(matches).cloned().collect())
    }

    fn source_line(&self, path: &str, file: &str, line: u32, column: Option<u32>) -> Answer<Vec<u64>> {
        let info =
            DebugInfo::open(Path::new(path), &self.debug_dirs).map_err(|error| failed(error.to_string()))?;
        let places = info.line(file, u64::from(line), column.map(u64::from));
        let places = places.map_err(|error| failed(error.to_string()))?;
        Ok(places.iter().map(|place| place.offset).collect())
    }

    fn user_signature(&self, path: &str, function: &str) -> Answer<Option<Arc<UserSignature>>> {
        self.signatures.get((path.to_string(), function.to_string()), |(path, function)| {
            let info = DebugInfo::open(Path::new(path), &self.debug_dirs)
                .map_err(|error| failed(error.to_string()))?;
            Ok(info.function(function).map(|function| Arc::new(signatures::convert(function))))
        })
    }

    fn usdt_probes(&self, path: &str) -> Answer<Pairs> {
        let sites = self.usdt_sites(path)?;
        let mut names: Vec<_> = sites.iter().map(|site| (site.provider.clone(), site.name.clone())).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names.into())
    }

    fn usdt_sites(&self, path: &str) -> Answer<Arc<[UsdtSite]>> {
        self.usdt_sites.get(path.to_string(), |path| {
            let elf = self.elf(path)?;
            Ok(elf.usdt_probes().iter().map(|probe| static_probes::site(&elf, probe)).collect())
        })
    }

    fn cgroup_id(&self, path: &str) -> Answer<u64> {
        host::cgroup_id(Path::new(path)).map_err(|error| CatalogError {
            message: error.to_string(),
            help: error.hint.map(str::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_and_failures_are_not() {
        let kept: Kept<u32, u32> = Kept::default();
        assert!(kept.get(1, |_| Err(failed("no"))).is_err());
        assert_eq!(kept.get(1, |n| Ok(n + 1)), Ok(2));
        assert_eq!(kept.get(1, |_| Err(failed("asked twice"))), Ok(2));
    }

    #[test]
    fn reads_its_own_symbols() {
        let host = HostCatalog::new();
        let own = env::current_exe().expect("own path").to_string_lossy().into_owned();
        let functions = host.user_functions(&own).expect("an ELF file");
        let main = functions.iter().find(|f| f.name == "main").expect("main");
        assert_eq!(host.file_offset(&own, main.addr), Ok(Some(main.offset)));
        assert!(functions.is_sorted_by(|a, b| a.name <= b.name));
        assert!(host.user_functions("/etc/passwd").expect_err("no ELF").message.contains("/etc/passwd"));
    }

    #[test]
    fn finds_files_by_name() {
        let host = HostCatalog::new();
        assert_eq!(host.binaries("/proc/self/exe"), Ok(vec!["/proc/self/exe".to_string()]));
        assert!(host.binaries("sh").expect("a shell")[0].ends_with("/sh"));
        assert!(host.binaries("nosuchcommand").is_err());
        let own = env::current_exe().expect("own path").to_string_lossy().into_owned();
        assert!(HostCatalog::for_process(std::process::id()).binaries("*").expect("maps").contains(&own));
    }

    #[test]
    fn lists_the_tracepoints() {
        let host = HostCatalog::new();
        let all = match host.tracepoints() {
            Ok(all) => all,
            Err(error) => return println!("skipped: {error}"),
        };
        let switch = ("sched".to_string(), "sched_switch".to_string());
        assert!(all.is_sorted() && all.contains(&switch));
        assert!(
            host.tracepoint_format("sched", "sched_switch")
                .expect("read")
                .is_some_and(|f| f.contains("prev_comm"))
        );
        assert_eq!(host.tracepoint_format("sched", "nope"), Ok(None));
        assert_eq!(host.tracepoint_format("..", "events"), Ok(None));
        assert_eq!(host.tracepoint_format("", ""), Ok(None));
    }

    #[test]
    fn lists_the_kernel_functions() {
        let host = HostCatalog::new();
        match host.kernel_functions() {
            Ok(all) => assert!(all.len() > 1000 && all.is_sorted_by(|a, b| a.name <= b.name)),
            Err(error) => println!("skipped: {error}"),
        }
        match host.kernel_symbol("vfs_read") {
            Ok(address) => assert!(address.is_some_and(|a| a != 0)),
            Err(error) => println!("skipped: {error}"),
        }
    }
}
