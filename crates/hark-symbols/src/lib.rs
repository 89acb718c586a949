//! Which address has this name, and which name has this address.
//!
//! ```text
//!  to attach                                        to print
//!  library.rs   libc, bash, /usr/lib/*.so → path    kallsyms.rs    kernel address → name+offset
//!  elf.rs       path, symbol → file offset          proc_maps.rs   process address → file, offset
//!  usdt.rs      path → static probes                symbolizer.rs  any address → name+offset, file:line
//!  dwarf.rs     path, line → offsets; function → parameters
//!  object_file.rs  what a compiler leaves: sections, symbols, relocations
//!                                                   images.rs      what processes had mapped that have ended
//!  traceable.rs functions that kprobes may use      perf_map.rs    names of code made at run time
//! ```
//!
//! Files are mapped, not read, and nothing in them is trusted: an ELF file under attack gives an error or fewer
//! symbols, never a panic. What is parsed from `/proc` and tracefs is handed in as text by the caller, except in
//! [`library`], [`DebugDirs`] and [`Symbolizer`], whose business is to find files.

mod binary;
mod debug_file;
mod demangle;
pub mod dwarf;
mod elf;
mod glob;
mod images;
mod kallsyms;
mod ld_cache;
pub mod library;
mod map_file;
mod object_file;
mod perf_map;
mod proc_maps;
mod symbolizer;
mod traceable;
mod unwind;
mod usdt;
mod usdt_arg;

pub use debug_file::DebugDirs;
pub use demangle::{demangle_cpp, demangle_rust, without_parameters};
pub use elf::{Elf, ElfError, Machine, Symbol, SymbolKind};
pub use glob::glob_match;
pub use kallsyms::{Kallsyms, KernelSymbol};
pub use ld_cache::{LdCache, LdEntry};
pub use map_file::{FileBytes, map_file};
pub use object_file::{ObjectFile, ObjectFileError, ObjectRelocation, ObjectSection, ObjectSymbol};
pub use perf_map::PerfMap;
pub use proc_maps::{Mapping, ProcMaps};
pub use symbolizer::{FilePlace, Frame, SourceLine, Symbolizer, Wishes};
pub use traceable::{Traceable, traceable_functions};
pub use unwind::{FrameEnd, FrameRow, frame_rows};
pub use usdt::UsdtProbe;
pub use usdt_arg::{ArgError, Location, Register, UsdtArg, parse_args, parse_each_arg};
