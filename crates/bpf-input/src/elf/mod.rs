//! Objects as clang makes them.
//!
//! ```text
//!  ELF ─ maps, externs (BTF of .maps, .kconfig, .ksyms) ─┐
//!      ─ .BTF.ext (functions, lines, CO-RE) ─────────────┼─▶ link (each program with the functions it calls) ─▶ Case
//!      ─ code sections and their relocations ────────────┘
//! ```
//!
//! The result is what libbpf would give to the kernel.

mod btf_ext;
mod core_match;
mod core_relo;
mod fix_btf;
mod link;
mod maps;

use crate::case::{AttachTo, Case, CaseMap};
use bpf_facts::{AttachType, ProgType, SectionTarget, V, section_of};
use btf_ext::BtfExt;
use hark_btf::{Btf, Kind};
use hark_symbols::ObjectFile;
use std::sync::Arc;

/// Why an object, or a program of it, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not an object of clang's for BPF.
    #[error("{0}")]
    Object(String),
    /// Its type information is broken.
    #[error("the object's type information: {0}")]
    Btf(String),
    /// A map's definition is broken.
    #[error("map {name}: {why}")]
    Map {
        /// Name of the map.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A program cannot be put together.
    #[error("program {name}: {why}")]
    Program {
        /// Name of the program.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// The kernel that an object is read for.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Version.
    pub version: V,
    /// Types: for CO-RE, attach targets, kernel functions.
    pub btf: Option<Arc<Btf>>,
    /// Possible CPUs: the size of a perf event array that states none.
    pub n_cpus: u32,
    /// Names, with values, of the kernel's configuration (`CONFIG_HZ` → `250`), for `.kconfig` variables.
    pub config: Vec<(String, String)>,
}

/// The programs of an object, in order of their place in it.
///
/// # Errors
/// If the object as a whole is broken. What is wrong with one program stands in its place.
pub fn read(bytes: &[u8], kernel: &Kernel) -> Result<Vec<Result<Case, ElfError>>, ElfError> {
    let object = ObjectFile::parse_bpf(bytes).map_err(|e| ElfError::Object(e.to_string()))?;
    let fixed = match object.section(".BTF") {
        Some(i) => Some(fix_btf::fix(object.sections[i].data, &object)?),
        None => None,
    };
    let btf = match fixed {
        Some(bytes) => Some(Arc::new(Btf::parse(bytes).map_err(|e| ElfError::Btf(e.to_string()))?)),
        None => None,
    };
    // What a variable was declared as counts for finding it in the kernel.
    let declared = match object.section(".BTF") {
        Some(i) => {
            Some(Btf::parse(object.sections[i].data.to_vec()).map_err(|e| ElfError::Btf(e.to_string()))?)
        }
        None => None,
    };
    let ext = match (object.section(".BTF.ext"), &btf) {
        (Some(i), Some(btf)) => BtfExt::parse(object.sections[i].data, btf)?,
        _ => BtfExt::default(),
    };
    let mut table = maps::MapTable::of(&object, btf.as_ref(), kernel)?;
    let license = object
        .section("license")
        .map(|i| object.sections[i].data)
        .map(|data| String::from_utf8_lossy(data.split(|b| *b == 0).next().unwrap_or_default()).into_owned())
        .unwrap_or_default();
    let linker = link::Linker { object: &object, btf: declared.as_ref(), ext: &ext, kernel };
    let mut cases = Vec::new();
    for (section, symbol) in linker.programs() {
        let name = symbol.name.to_string();
        let failed = |why: String| ElfError::Program { name: name.clone(), why };
        let case = linker.link(section, symbol, &mut table).map_err(failed).and_then(|linked| {
            let mut case = linked;
            case.license = license.clone();
            case.maps = table.maps().to_vec();
            case.btf = btf.clone();
            set_type(&mut case, object.sections[section].name, kernel).map_err(failed)?;
            Ok(case)
        });
        cases.push(case);
    }
    // Programs linked early do not know of maps that later ones made.
    let maps: Vec<CaseMap> = table.maps().to_vec();
    for case in cases.iter_mut().flatten() {
        case.maps = maps.clone();
    }
    Ok(cases)
}

/// `BPF_F_SLEEPABLE` of `prog_flags`.
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS` of `prog_flags`.
const XDP_HAS_FRAGS: u32 = 1 << 5;

/// Program type, attach type and target, by the section's name.
fn set_type(case: &mut Case, section: &str, kernel: &Kernel) -> Result<(), String> {
    let (def, rest) =
        section_of(section).ok_or_else(|| format!("section {section:?} names no program type"))?;
    (case.ty, case.attach_type) = (def.ty, def.attach);
    if def.sleepable {
        case.flags |= SLEEPABLE;
    }
    if def.name.starts_with("xdp.frags") {
        case.flags |= XDP_HAS_FRAGS;
    }
    if def.ty == ProgType::SockOps || def.ty == ProgType::SkMsg || def.ty == ProgType::CgroupDevice {
        // What is expected need not be told; kernels before 4.17 had no such field.
        case.attach_type = def.attach;
    }
    let (kind, name) = match def.target {
        SectionTarget::None => return Ok(()),
        SectionTarget::Program => {
            case.attach = Some(AttachTo { btf_id: 0, name: rest.to_string(), program: true });
            return Ok(());
        }
        SectionTarget::Function => (Kind::Func, rest.to_string()),
        SectionTarget::RawTracepoint => (Kind::Typedef, format!("btf_trace_{rest}")),
        SectionTarget::Iterator => (Kind::Func, format!("bpf_iter_{rest}")),
        SectionTarget::Lsm => (Kind::Func, format!("bpf_lsm_{rest}")),
    };
    let Some(btf) = &kernel.btf else {
        case.unsure = Some(format!("{name} of a kernel whose types are not known"));
        return Ok(());
    };
    let id =
        btf.find(kind, &name).ok_or_else(|| format!("the kernel has no {rest:?} to attach to ({name})"))?;
    debug_assert!(case.attach_type != AttachType::None);
    case.attach = Some(AttachTo { btf_id: id.0, name: rest.to_string(), program: false });
    Ok(())
}
