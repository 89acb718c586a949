//! From addresses to names, when something is printed.
//!
//! Kernel addresses are looked up in [`Kallsyms`]. User addresses go process → mapping → file → [`Binary`]. Nothing is
//! opened before the first address, and every file is read once however many processes have it mapped.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::binary::Binary;
use crate::debug_file::DebugDirs;
use crate::demangle::{demangle_cpp, demangle_rust};
use crate::elf::Elf;
use crate::images::Images;
use crate::kallsyms::Kallsyms;
use crate::map_file::map_file;
use crate::perf_map::PerfMap;
use crate::proc_maps::{Mapping, ProcMaps};

/// A function that an address is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Name.
    pub name: String,
    /// Bytes from the function's start to the address; 0 for an inlined function.
    pub offset: u64,
    /// Path of the binary, or name of the kernel module; empty for the kernel itself and for code made at run time.
    pub module: String,
    /// Where in the source.
    pub line: Option<SourceLine>,
    /// Whether the function was inlined into the frame that follows.
    pub inlined: bool,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// File, with its directory if that is known.
    pub file: PathBuf,
    /// Line from 1.
    pub line: u32,
    /// Column from 1, if known.
    pub column: Option<u16>,
}

/// Where a user address lies in its file: the same on every machine that runs this build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// Build id in hexadecimal.
    pub build_id: String,
    /// Offset in the file.
    pub offset: u64,
}

/// What to say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// Source lines and inlined functions, where debug information is installed.
    pub lines: bool,
    /// C++ names as written.
    pub demangle_cpp: bool,
    /// Rust names as written.
    pub demangle_rust: bool,
}

/// Files whose debug information is used; it is never given back. Those beyond give names without lines.
const MAX_DESCRIBED: usize = 256;
/// How old the knowledge of a process's mappings must be to be renewed for an unknown address. Stacks of code without
/// frame pointers are full of numbers that are no addresses.
const REREAD_AFTER: Duration = Duration::from_millis(10);
/// Ended processes whose code made at run time and vDSO are kept read.
const MAX_REMEMBERED: usize = 256;

/// Names addresses of this machine's kernel and processes.
pub struct Symbolizer {
    wishes: Wishes,
    dirs: DebugDirs,
    kernel: OnceCell<Option<Kallsyms>>,
    binaries: RefCell<HashMap<PathBuf, Option<Rc<Binary>>>>,
    processes: RefCell<HashMap<u32, Rc<Process>>>,
    images: RefCell<Images>,
    /// Address spaces from there that something was looked for in.
    remembered: RefCell<HashMap<u32, Rc<Process>>>,
    /// Files at whose own addresses processes run that are gone before anything is known of them.
    expected: RefCell<Vec<PathBuf>>,
    /// By device and inode: a path that leads to the file from here.
    paths: RefCell<HashMap<(u32, u32, u64), Option<PathBuf>>>,
    build_ids: RefCell<HashMap<PathBuf, Option<String>>>,
}

/// What is known of a process.
struct Process {
    read_at: Instant,
    /// Device and inode of its program: another after exec(2).
    program: Option<(u64, u64)>,
    maps: Rc<ProcMaps>,
    /// Functions of the vDSO, by address in the process.
    vdso: OnceCell<Option<Elf>>,
    made_code: OnceCell<PerfMap>,
}

impl Symbolizer {
    /// A symboliser that has not looked at anything yet.
    pub fn new(wishes: Wishes) -> Symbolizer {
        Symbolizer {
            wishes,
            dirs: DebugDirs::default(),
            kernel: OnceCell::new(),
            binaries: RefCell::default(),
            processes: RefCell::default(),
            images: RefCell::default(),
            remembered: RefCell::default(),
            expected: RefCell::default(),
            paths: RefCell::default(),
            build_ids: RefCell::default(),
        }
    }

    /// Looks for debug files in these directories, too.
    #[must_use]
    pub fn with_debug_dirs(self, dirs: DebugDirs) -> Symbolizer {
        Symbolizer { dirs, ..self }
    }

    /// The kernel's symbols; `None` if they cannot be read or are hidden from this process.
    pub fn kallsyms(&self) -> Option<&Kallsyms> {
        let read =
            || Some(Kallsyms::parse(map_file(Path::new("/proc/kallsyms")).ok()?)).filter(|k| !k.is_hidden());
        self.kernel.get_or_init(read).as_ref()
    }

    /// The kernel function at an address.
    pub fn kernel(&self, addr: u64) -> Option<Frame> {
        let (symbol, offset) = self.kallsyms()?.lookup(addr)?;
        let module = symbol.module.unwrap_or("").to_owned();
        Some(Frame { name: symbol.name.to_owned(), offset, module, line: None, inlined: false })
    }

    /// The functions at an address of a process: the innermost inlined one first, last the one that has the code.
    /// Empty when nothing is known.
    pub fn user(&self, pid: u32, addr: u64) -> Vec<Frame> {
        let Some((process, mapping)) = self.mapping(pid, addr) else { return self.in_expected(pid, addr) };
        if mapping.name == "[vdso]" {
            return process.vdso(pid, &mapping, addr).into_iter().collect();
        }
        let made = || process.made_code(pid, addr).map(|frame| vec![frame]);
        self.in_mapping(pid, &mapping, addr).or_else(made).unwrap_or_default()
    }

    /// The functions at an address in a mapping of a file; `None` if there is no name for it.
    fn in_mapping(&self, pid: u32, mapping: &Mapping, addr: u64) -> Option<Vec<Frame>> {
        let path = self.reachable(pid, mapping)?;
        let frames = self.in_file(&path, &mapping.name, mapping.file_offset(addr)?);
        Some(frames).filter(|frames| !frames.is_empty())
    }

    /// The functions at an address of a process that is gone, if one of the expected files has the address for its own.
    fn in_expected(&self, pid: u32, addr: u64) -> Vec<Frame> {
        if self.process(pid).is_some() || self.images.borrow().know(pid) {
            return Vec::new();
        }
        let expected = self.expected.borrow();
        let found = expected.iter().find_map(|path| {
            let offset = self.binary(path)?.fixed_offset(addr)?;
            Some(self.file(path, offset)).filter(|frames| !frames.is_empty())
        });
        found.unwrap_or_default()
    }

    /// Says that a process has all of this mapped now.
    pub fn found(&self, pid: u32, maps: ProcMaps) {
        self.images.borrow_mut().found(pid, maps);
    }

    /// Says that a process became another program: nothing that it had mapped is there any more.
    pub fn execed(&self, pid: u32) {
        self.images.borrow_mut().became(pid);
    }

    /// Says that a process was forked: it has what its parent has mapped.
    pub fn forked(&self, pid: u32, parent: u32) {
        self.look_at_once(parent);
        self.images.borrow_mut().forked(pid, parent);
        // The number may have been another's.
        self.processes.borrow_mut().remove(&pid);
    }

    /// Says that a process mapped code.
    pub fn mapped(&self, pid: u32, mapping: Mapping) {
        self.look_at_once(pid);
        self.images.borrow_mut().mapped(pid, mapping);
    }

    /// Says that a process ended.
    pub fn ended(&self, pid: u32) {
        self.images.borrow_mut().ended(pid);
    }

    /// Makes a process known of which nothing has been told yet.
    fn look_at_once(&self, pid: u32) {
        if !self.images.borrow().know(pid)
            && let Some(process) = Process::read(pid)
        {
            self.images.borrow_mut().found(pid, Rc::unwrap_or_clone(process.maps));
        }
    }

    /// Names a file whose code is going to run in processes that may be gone when their addresses are asked for.
    pub fn expect(&self, path: PathBuf) {
        self.expected.borrow_mut().push(path);
    }

    /// The functions at an offset of a file, as [`Symbolizer::user`].
    pub fn file(&self, path: &Path, offset: u64) -> Vec<Frame> {
        self.in_file(path, &path.to_string_lossy(), offset)
    }

    /// Build id and file offset of an address of a process.
    pub fn file_place(&self, pid: u32, addr: u64) -> Option<FilePlace> {
        let (_, mapping) = self.mapping(pid, addr)?;
        let path = self.reachable(pid, &mapping)?;
        let offset = mapping.file_offset(addr)?;
        let mut ids = self.build_ids.borrow_mut();
        let id = ids.entry(path).or_insert_with_key(|path| {
            let elf = Elf::open(path).ok()?;
            Some(elf.build_id()?.iter().map(|b| format!("{b:02x}")).collect())
        });
        Some(FilePlace { build_id: id.clone()?, offset })
    }

    /// Reads the address space of a process now, so that its addresses still have names when it has ended.
    pub fn remember(&self, pid: u32) {
        self.process(pid);
    }

    /// The mapping an address is in. An address outside what was read is looked for once more: the process may have
    /// loaded a library since, or have been another program.
    fn mapping(&self, pid: u32, addr: u64) -> Option<(Rc<Process>, Mapping)> {
        let find = |p: &Rc<Process>| Some((p.clone(), p.maps.find(addr)?.clone()));
        let live = || {
            let known = self.process(pid)?;
            find(&known).or_else(|| {
                if known.read_at.elapsed() < REREAD_AFTER {
                    return None;
                }
                let again = Rc::new(Process::read(pid)?);
                self.processes.borrow_mut().insert(pid, again.clone());
                find(&again)
            })
        };
        let told = || {
            let maps = self.images.borrow().of(pid).find(|maps| maps.find(addr).is_some())?.clone();
            let mut remembered = self.remembered.borrow_mut();
            if remembered.len() > MAX_REMEMBERED {
                remembered.clear();
            }
            let process = remembered.entry(pid).or_insert_with(|| Rc::new(Process::with(None, maps.clone())));
            if !Rc::ptr_eq(&process.maps, &maps) {
                *process = Rc::new(Process::with(None, maps));
            }
            find(process)
        };
        // What was read of one that has ended may be of before it became what it was in the end.
        let gone = self.images.borrow().know(pid) && program_of(pid).is_none();
        if gone { told().or_else(live) } else { live().or_else(told) }
    }

    fn process(&self, pid: u32) -> Option<Rc<Process>> {
        let known = self.processes.borrow().get(&pid).cloned();
        let program = program_of(pid);
        if let Some(known) = known
            && (program.is_none() || known.program == program)
        {
            return Some(known);
        }
        let read = Rc::new(Process::read(pid)?);
        self.processes.borrow_mut().insert(pid, read.clone());
        Some(read)
    }

    /// A path by which the mapped file can be opened: its own where that still leads to it; through the process,
    /// if it lives in a container; through the mapping itself, if it has been deleted.
    fn reachable(&self, pid: u32, mapping: &Mapping) -> Option<PathBuf> {
        if mapping.inode == 0 {
            return None;
        }
        let key = (mapping.device.0, mapping.device.1, mapping.inode);
        if let Some(known) = self.paths.borrow().get(&key) {
            return known.clone();
        }
        let own = PathBuf::from(&mapping.name);
        let range = &mapping.range;
        let candidates = [
            own.clone(),
            PathBuf::from(format!("/proc/{pid}/root{}", mapping.name)),
            PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", range.start, range.end)),
        ];
        let same = |p: &PathBuf| fs::metadata(p).is_ok_and(|m| m.ino() == mapping.inode && m.is_file());
        // Stacked file systems show other inodes in /proc/PID/maps: then the name must do.
        let found = candidates.into_iter().find(same).or_else(|| Some(own).filter(|p| p.is_file()));
        self.paths.borrow_mut().insert(key, found.clone());
        found
    }

    fn in_file(&self, path: &Path, shown: &str, offset: u64) -> Vec<Frame> {
        // Unreadable and unknown are the same to who reads a stack: no name.
        let mut frames = self.binary(path).map(|binary| binary.frames(offset)).unwrap_or_default();
        for frame in &mut frames {
            frame.name = self.written(&frame.name);
            frame.module = shown.to_owned();
        }
        frames
    }

    /// A file, read once.
    fn binary(&self, path: &Path) -> Option<Rc<Binary>> {
        let lines = self.wishes.lines && self.binaries.borrow().len() < MAX_DESCRIBED;
        let open = |path: &PathBuf| Some(Rc::new(Binary::open(path, lines, &self.dirs)?));
        self.binaries.borrow_mut().entry(path.to_owned()).or_insert_with_key(open).clone()
    }

    fn written(&self, name: &str) -> String {
        let cpp = self.wishes.demangle_cpp.then(|| demangle_cpp(name)).flatten();
        let rust = || self.wishes.demangle_rust.then(|| demangle_rust(name)).flatten();
        cpp.or_else(rust).unwrap_or_else(|| name.to_owned())
    }
}

fn program_of(pid: u32) -> Option<(u64, u64)> {
    let meta = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((meta.dev(), meta.ino()))
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        let text = fs::read(format!("/proc/{pid}/maps")).ok()?;
        let maps = ProcMaps::parse(&String::from_utf8_lossy(&text));
        Some(Process::with(program_of(pid), Rc::new(maps)))
    }

    fn with(program: Option<(u64, u64)>, maps: Rc<ProcMaps>) -> Process {
        Process { read_at: Instant::now(), program, maps, vdso: OnceCell::new(), made_code: OnceCell::new() }
    }

    /// The function of the vDSO, which is no file: the kernel maps the same into every process of one kind.
    fn vdso(&self, pid: u32, mapping: &Mapping, addr: u64) -> Option<Frame> {
        let read = |pid: &str, range: &Range<u64>| {
            let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
            memory.seek(SeekFrom::Start(range.start)).ok()?;
            let len = range.end.checked_sub(range.start)?.min(1 << 20);
            let mut bytes = vec![0; usize::try_from(len).ok()?];
            memory.read_exact(&mut bytes).ok()?;
            Elf::parse(bytes, Path::new("[vdso]")).ok()
        };
        // Where it has ended, ours will do, if it is of the same kind.
        let ours = || {
            let maps = ProcMaps::parse(&fs::read_to_string("/proc/self/maps").ok()?);
            let len = |range: &Range<u64>| range.end.checked_sub(range.start);
            let same = |m: &&Mapping| m.name == "[vdso]" && len(&m.range) == len(&mapping.range);
            read("self", &maps.iter().find(same)?.range)
        };
        let elf = self.vdso.get_or_init(|| read(&pid.to_string(), &mapping.range).or_else(ours)).as_ref()?;
        let at = elf.address_of(mapping.file_offset(addr)?)?;
        let inside =
            |s: &crate::elf::Symbol<'_>| s.is_function() && s.addr <= at && at - s.addr < s.size.max(1);
        let symbol = elf.symbols().find(inside)?;
        Some(Frame {
            name: symbol.name.to_owned(),
            offset: at - symbol.addr,
            module: mapping.name.clone(),
            line: None,
            inlined: false,
        })
    }

    /// The function of code made at run time, if the run time says so in a perf map.
    fn made_code(&self, pid: u32, addr: u64) -> Option<Frame> {
        let read = || {
            // In a container the process knows itself by another number: the last of NSpid.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let own = status
                .lines()
                .find_map(|l| l.strip_prefix("NSpid:"))
                .and_then(|l| l.split_whitespace().last());
            let own = own.map_or_else(|| pid.to_string(), str::to_owned);
            let file = format!("tmp/perf-{own}.map");
            let paths =
                [Path::new(&format!("/proc/{pid}/root")).join(file), format!("/tmp/perf-{pid}.map").into()];
            let text = paths.iter().find_map(|p| fs::read(p).ok()).unwrap_or_default();
            PerfMap::parse(&String::from_utf8_lossy(&text))
        };
        let (name, offset) = self.made_code.get_or_init(read).find(addr)?;
        Some(Frame { name: name.to_owned(), offset, module: String::new(), line: None, inlined: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wishes = Wishes { lines: true, demangle_cpp: true, demangle_rust: true };

    fn own_pid() -> u32 {
        std::process::id()
    }

    #[inline(never)]
    fn marked() -> u32 {
        std::hint::black_box(line!())
    }

    #[test]
    fn names_own_functions_with_their_lines() {
        let addr = marked as fn() -> u32 as usize as u64;
        let frames = Symbolizer::new(ALL).user(own_pid(), addr);
        let frame = frames.last().expect("this program has symbols");
        assert!(frame.name.ends_with("symbolizer::tests::marked"), "{frame:?}");
        assert_eq!(frame.offset, 0);
        let line = frame.line.as_ref().expect("tests are built with line tables");
        assert!(line.file.ends_with("symbolizer.rs") && line.line.abs_diff(marked()) < 3, "{line:?}");

        let plain = Symbolizer::new(Wishes { lines: false, demangle_cpp: false, demangle_rust: false });
        let frames = plain.user(own_pid(), addr);
        assert!(
            frames.len() == 1
                && frames[0].line.is_none()
                && frames[0].name.contains("marked17h") | frames[0].name.starts_with("_R"),
            "{frames:?}"
        );
    }

    #[test]
    fn knows_nothing_of_what_is_not_mapped() {
        let symbolizer = Symbolizer::new(ALL);
        assert_eq!(symbolizer.user(own_pid(), 8), vec![]);
        assert_eq!(symbolizer.user(u32::MAX, 8), vec![]);
        assert_eq!(symbolizer.file_place(own_pid(), 8), None);
        assert_eq!(symbolizer.file(Path::new("/proc/version"), 8), vec![]);
    }

    #[test]
    fn names_the_vdso() {
        let maps = ProcMaps::parse(&fs::read_to_string("/proc/self/maps").expect("own maps"));
        let Some(vdso) = maps.iter().find(|m| m.name == "[vdso]") else { return };
        let symbolizer = Symbolizer::new(ALL);
        let mut names: Vec<_> = vdso
            .range
            .clone()
            .step_by(16)
            .flat_map(|a| symbolizer.user(own_pid(), a))
            .map(|f| f.name)
            .collect();
        names.dedup();
        assert!(names.iter().any(|n| n.contains("clock_gettime")), "{names:?}");
    }

    #[test]
    fn remembers_the_dead() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().expect("sleep");
        let pid = child.id();
        // Until exec it is a copy of this program, and for a moment after it nothing.
        let own = fs::read_link("/proc/self/exe").expect("own program");
        let is_code = |m: &Mapping| m.executable && m.path().is_some_and(|p| p != own);
        let maps = || ProcMaps::parse(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default());
        while fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == own)
            || !maps().iter().any(is_code)
        {
            std::thread::yield_now();
        }
        let symbolizer = Symbolizer::new(ALL);
        symbolizer.remember(pid);
        let maps = symbolizer.process(pid).expect("known").maps.clone();
        child.kill().and_then(|()| child.wait()).expect("killed");
        let code = maps.iter().find(|m| is_code(m)).expect("some code");
        let place = symbolizer.file_place(pid, code.range.start + 16).expect("its file is still there");
        assert_eq!(place.offset, code.offset + 16);
        assert!(place.build_id.len() >= 16, "{place:?}");

        // Told of by others, and a program that it was before.
        let told = Symbolizer::new(ALL);
        assert_eq!(told.file_place(pid, code.range.start + 16), None);
        told.found(pid, (*maps).clone());
        told.forked(pid + 1, pid);
        told.execed(pid + 1);
        told.ended(pid + 1);
        assert_eq!(told.file_place(pid + 1, code.range.start + 16), Some(place));
    }

    #[test]
    fn names_code_made_at_run_time() {
        let maps = ProcMaps::parse(&fs::read_to_string("/proc/self/maps").expect("own maps"));
        let stack = maps.iter().find(|m| m.name == "[stack]").expect("a stack").range.clone();
        let path = format!("/tmp/perf-{}.map", own_pid());
        fs::write(&path, format!("{:x} 10 LazyCompile:~f\n", stack.start)).expect("writable /tmp");
        let frames = Symbolizer::new(ALL).user(own_pid(), stack.start + 4);
        fs::remove_file(&path).expect("removed");
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].name.as_str(), frames[0].offset), ("LazyCompile:~f", 4));
    }

    #[test]
    fn names_the_kernel_if_it_lets_us() {
        let symbolizer = Symbolizer::new(ALL);
        let Some(kallsyms) = symbolizer.kallsyms() else { return };
        let addr = kallsyms.addr_of("vfs_read").expect("every kernel reads files");
        let frame = symbolizer.kernel(addr + 1).expect("vfs_read");
        assert_eq!((frame.name.as_str(), frame.offset, frame.module.as_str()), ("vfs_read", 1, ""));
    }
}
