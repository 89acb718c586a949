//! Names of addresses, from kallsyms, from the binaries that a process maps, and from the maps that JITs write.

use crate::host_names::Symbolizer;
use crate::names::{FilePlace, Symbol};
use hark_symbols::{Elf, Kallsyms, PerfMap, ProcMaps};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Looks names up on this machine. Everything is read when first needed and kept, so that a process which was seen
/// once keeps its names after it has ended.
#[derive(Default)]
pub struct HostSymbols {
    kallsyms: OnceCell<Option<Kallsyms>>,
    kernel: RefCell<HashMap<u64, Option<Rc<Symbol>>>>,
    processes: RefCell<HashMap<u64, Process>>,
    binaries: RefCell<HashMap<PathBuf, Option<Rc<Binary>>>>,
}

/// What is known of a process.
struct Process {
    maps: ProcMaps,
    jit: OnceCell<Option<PerfMap>>,
    found: HashMap<u64, Option<Rc<Symbol>>>,
}

/// Functions of a binary, sorted by address.
struct Binary {
    elf: Elf,
    functions: Vec<Function>,
    build_id: Option<String>,
}

struct Function {
    addr: u64,
    size: u64,
    name: String,
}

/// A place in a binary.
struct Place {
    binary: Rc<Binary>,
    path: PathBuf,
    offset: u64,
}

impl HostSymbols {
    /// Nothing is read yet.
    pub fn new() -> HostSymbols {
        HostSymbols::default()
    }

    /// The binary that process `pid` maps at `addr`. A process that maps something new is looked at again.
    fn place(&self, pid: u64, addr: u64) -> Option<Place> {
        let mut processes = self.processes.borrow_mut();
        let read = || ProcMaps::parse(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default());
        let process = processes.entry(pid).or_insert_with(|| Process {
            maps: read(),
            jit: OnceCell::new(),
            found: HashMap::new(),
        });
        if process.maps.find(addr).is_none() {
            let now = read();
            // Of a process that has ended, what was known remains.
            if now.iter().next().is_some() {
                process.maps = now;
            }
        }
        let mapping = process.maps.find(addr)?;
        let offset = mapping.file_offset(addr)?;
        let path = mapping.path()?.to_path_buf();
        drop(processes);
        Some(Place { binary: self.binary(pid, &path)?, path, offset })
    }

    fn binary(&self, pid: u64, path: &Path) -> Option<Rc<Binary>> {
        let mut binaries = self.binaries.borrow_mut();
        let known = binaries.entry(path.to_path_buf()).or_insert_with(|| {
            // The process may see other files under the same name.
            let inside =
                Path::new("/proc").join(pid.to_string()).join("root").join(path.strip_prefix("/").ok()?);
            let elf = Elf::open_with_debug(&inside).or_else(|_| Elf::open_with_debug(path)).ok()?;
            Some(Rc::new(Binary::of(elf)))
        });
        known.clone()
    }

    /// A function that was made at run time and that the process told us of.
    fn jitted(&self, pid: u64, addr: u64) -> Option<Symbol> {
        let processes = self.processes.borrow();
        let jit = processes.get(&pid)?.jit.get_or_init(|| {
            let name = format!("tmp/perf-{pid}.map");
            let text = fs::read_to_string(root_of(pid).join(&name))
                .or_else(|_| fs::read_to_string(Path::new("/").join(&name)));
            text.ok().map(|text| PerfMap::parse(&text))
        });
        let (name, offset) = jit.as_ref()?.find(addr)?;
        Some(Symbol { name: name.to_string(), offset, module: String::new() })
    }
}

impl Symbolizer for HostSymbols {
    fn kernel(&self, addr: u64) -> Option<Rc<Symbol>> {
        let mut known = self.kernel.borrow_mut();
        let symbol = known.entry(addr).or_insert_with(|| {
            let kallsyms = self.kallsyms.get_or_init(|| fs::read("/proc/kallsyms").ok().map(Kallsyms::parse));
            let (symbol, offset) = kallsyms.as_ref()?.lookup(addr)?;
            let module = symbol.module.unwrap_or_default().to_string();
            Some(Rc::new(Symbol { name: symbol.name.to_string(), offset, module }))
        });
        symbol.clone()
    }

    fn user(&self, pid: u64, addr: u64) -> Option<Rc<Symbol>> {
        if let Some(known) = self.processes.borrow().get(&pid).and_then(|process| process.found.get(&addr)) {
            return known.clone();
        }
        let symbol = match self.place(pid, addr) {
            Some(place) => place.symbol(),
            None => self.jitted(pid, addr),
        };
        let symbol = symbol.map(Rc::new);
        if let Some(process) = self.processes.borrow_mut().get_mut(&pid) {
            process.found.insert(addr, symbol.clone());
        }
        symbol
    }

    fn file_place(&self, pid: u64, addr: u64) -> Option<Rc<FilePlace>> {
        let place = self.place(pid, addr)?;
        let build_id = place.binary.build_id.clone()?;
        Some(Rc::new(FilePlace { build_id, offset: place.offset }))
    }
}

/// The root directory as a process sees it.
fn root_of(pid: u64) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join("root")
}

impl Binary {
    fn of(elf: Elf) -> Binary {
        let mut functions: Vec<Function> = elf
            .functions()
            .iter()
            .map(|symbol| Function { addr: symbol.addr, size: symbol.size, name: symbol.name.to_string() })
            .collect();
        functions.sort_by_key(|function| function.addr);
        let build_id = elf.build_id().map(|id| id.iter().map(|b| format!("{b:02x}")).collect());
        Binary { elf, functions, build_id }
    }

    /// The function that holds an address of the file; one of unknown size reaches to the next.
    fn function(&self, addr: u64) -> Option<&Function> {
        let next = self.functions.partition_point(|function| function.addr <= addr);
        let last = self.functions.get(next.checked_sub(1)?)?.addr;
        let same = self.functions[..next].iter().rev().take_while(|function| function.addr == last);
        same.filter(|function| function.size == 0 || addr - function.addr < function.size).last()
    }
}

impl Place {
    fn symbol(&self) -> Option<Symbol> {
        let addr = self.binary.elf.address_of(self.offset)?;
        let function = self.binary.function(addr)?;
        Some(Symbol {
            name: function.name.clone(),
            offset: addr - function.addr,
            module: self.path.display().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    extern "C" fn a_function_to_be_found() -> u64 {
        std::hint::black_box(42)
    }

    #[test]
    fn finds_a_function_of_this_process() {
        assert_eq!(a_function_to_be_found(), 42);
        let (pid, addr) = (u64::from(std::process::id()), a_function_to_be_found as *const () as u64);
        let symbols = HostSymbols::new();
        let symbol = symbols.user(pid, addr).expect("a symbol");
        assert!(symbol.name.contains("a_function_to_be_found"), "{symbol:?}");
        assert_eq!(symbol.offset, 0);
        assert!(symbol.module.contains("hark_runtime"), "{symbol:?}");
        assert!(Rc::ptr_eq(&symbol, &symbols.user(pid, addr).expect("again")));
        assert_eq!(symbols.user(pid, 8), None);
        // Of a process that does not exist nothing is known.
        assert_eq!(symbols.user(u64::from(u32::MAX), addr), None);
    }
}
