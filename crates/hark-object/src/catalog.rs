//! What the host offers to attach to. The compiler asks it for layouts and names, attaching for addresses.

use crate::unwind::UnwindTables;
use crate::usdt::UsdtSite;
use crate::user_types::UserSignature;
use std::fmt;
use std::sync::Arc;

/// A traceable kernel function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFunction {
    /// Name.
    pub name: String,
    /// Module; `None` for the kernel itself.
    pub module: Option<String>,
}

/// A function symbol of a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFunction {
    /// Name as in the symbol table.
    pub name: String,
    /// Virtual address in the file.
    pub addr: u64,
    /// Bytes; 0 if unknown.
    pub size: u64,
    /// Offset in the file: what a uprobe needs.
    pub offset: u64,
}

/// Why the catalogue has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogError {
    /// What was asked for and what stands in the way, lower case.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CatalogError {}

/// The host's probes. Every answer is read lazily and kept, so that a script pays only for what it uses.
pub trait Catalog {
    /// `(category, event)` of all tracepoints, sorted.
    ///
    /// # Errors
    /// If tracefs cannot be read.
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError>;

    /// The text of `events/CATEGORY/EVENT/format`; `None` if there is no such tracepoint.
    ///
    /// # Errors
    /// If tracefs cannot be read.
    fn tracepoint_format(&self, category: &str, event: &str) -> Result<Option<String>, CatalogError>;

    /// Traceable kernel functions, sorted by name.
    ///
    /// # Errors
    /// If neither tracefs nor kallsyms can be read.
    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError>;

    /// Whether the kernel can put a probe on a function at all; if that is not known, yes.
    fn has_kprobes(&self) -> bool {
        true
    }

    /// The address of a kernel symbol.
    ///
    /// # Errors
    /// If kallsyms cannot be read or hides addresses.
    fn kernel_symbol(&self, name: &str) -> Result<Option<u64>, CatalogError>;

    /// What it takes to walk the stack of a process by `.eh_frame`: of all code that it has mapped now.
    ///
    /// # Errors
    /// If its mappings cannot be read.
    fn unwind_tables(&self, pid: u32) -> Result<UnwindTables, CatalogError> {
        Err(nothing(&format!("process {pid}")))
    }

    /// The files that a path, library name, command or pattern stands for, sorted.
    ///
    /// # Errors
    /// If there is none.
    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError>;

    /// Function symbols of a binary, sorted by name.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    fn user_functions(&self, path: &str) -> Result<Arc<[UserFunction]>, CatalogError>;

    /// The offset in the file at which a virtual address of a binary lies; `None` if no loaded part holds it.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    fn file_offset(&self, path: &str, addr: u64) -> Result<Option<u64>, CatalogError>;

    /// Function symbols of a binary that C++ or Rust made, under the names that the source has, sorted: those that are
    /// called `wanted`, with their parameters or without, which then means every overload. It may hold wildcards.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    fn demangled_functions(&self, path: &str, wanted: &str) -> Result<Vec<UserFunction>, CatalogError> {
        let _ = wanted;
        Err(nothing(path))
    }

    /// The offsets in the file at which a line of a source file begins, or the next line that has code.
    ///
    /// # Errors
    /// If the binary has no debug information, or none that can be read.
    fn source_line(
        &self,
        path: &str,
        file: &str,
        line: u32,
        column: Option<u32>,
    ) -> Result<Vec<u64>, CatalogError> {
        let _ = (file, line, column);
        Err(nothing(path))
    }

    /// What a function of a binary takes and returns; `None` if the debug information does not describe it.
    ///
    /// # Errors
    /// If the binary has no debug information, or none that can be read.
    fn user_signature(&self, path: &str, function: &str) -> Result<Option<Arc<UserSignature>>, CatalogError> {
        let _ = function;
        Err(nothing(path))
    }

    /// USDT probes of a binary as `(provider, name)`, sorted.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    fn usdt_probes(&self, path: &str) -> Result<Arc<[(String, String)]>, CatalogError>;

    /// The places of those static probes of a binary, in file order.
    ///
    /// # Errors
    /// If it cannot be read or is no ELF file.
    fn usdt_sites(&self, path: &str) -> Result<Arc<[UsdtSite]>, CatalogError>;

    /// The id of the cgroup (version 2) at `path`.
    ///
    /// # Errors
    /// If there is none.
    fn cgroup_id(&self, path: &str) -> Result<u64, CatalogError>;
}

/// A host that offers nothing: for pure compilation.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyCatalog;

fn nothing(what: &str) -> CatalogError {
    CatalogError { message: format!("{what}: no host to ask"), help: None }
}

impl Catalog for EmptyCatalog {
    fn tracepoints(&self) -> Result<Arc<[(String, String)]>, CatalogError> {
        Ok(Arc::new([]))
    }
    fn tracepoint_format(&self, _: &str, _: &str) -> Result<Option<String>, CatalogError> {
        Ok(None)
    }
    fn kernel_functions(&self) -> Result<Arc<[KernelFunction]>, CatalogError> {
        Ok(Arc::new([]))
    }
    fn kernel_symbol(&self, _: &str) -> Result<Option<u64>, CatalogError> {
        Ok(None)
    }
    fn binaries(&self, spec: &str) -> Result<Vec<String>, CatalogError> {
        Err(nothing(spec))
    }
    fn user_functions(&self, path: &str) -> Result<Arc<[UserFunction]>, CatalogError> {
        Err(nothing(path))
    }
    fn file_offset(&self, path: &str, _: u64) -> Result<Option<u64>, CatalogError> {
        Err(nothing(path))
    }
    fn usdt_probes(&self, path: &str) -> Result<Arc<[(String, String)]>, CatalogError> {
        Err(nothing(path))
    }
    fn usdt_sites(&self, path: &str) -> Result<Arc<[UsdtSite]>, CatalogError> {
        Err(nothing(path))
    }
    fn cgroup_id(&self, path: &str) -> Result<u64, CatalogError> {
        Err(nothing(path))
    }
}
