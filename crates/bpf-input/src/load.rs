//! A case in the running kernel: what its verifier says.

use crate::case::{Case, CaseMap};
use bpf_facts::AttachType;
use bpf_syscall::{
    AttachTarget, BtfFd, FuncInfo, Kernel, LineInfo, LoadError, Loaded, LogLevel, MapBtf, MapCreate, MapFd,
    ProgBtf, ProgLoad, SysError, UpdateMode,
};
use ebpf_asm::unlinked::{LOAD_IMM64, MAP_FD, MAP_VALUE, imm, set_imm, src};
use hark_btf::Btf;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// What a case needs before its program can be loaded: maps and types in the kernel. Programs with the same maps and
/// types can share it.
#[derive(Debug)]
pub struct Prepared {
    maps: Vec<MapFd>,
    btf: Option<BtfFd>,
}

/// Why a case could not be prepared. It says nothing of the program.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A map cannot be made.
    #[error("map {0}: {1}")]
    Map(String, SysError),
    /// The kernel does not take the BTF.
    #[error("type information: {0}")]
    Btf(#[from] LoadError),
}

/// Makes the maps of a case, with their contents, and loads its types.
///
/// # Errors
/// The first that the kernel refuses.
pub fn prepare(kernel: &dyn Kernel, case: &Case) -> Result<Prepared, PrepareError> {
    let mut types: Vec<(*const Btf, BtfFd)> = Vec::new();
    let mut maps = Vec::new();
    for map in &case.maps {
        maps.push(create(kernel, map, &mut types)?);
    }
    let btf = match &case.btf {
        Some(btf) if !case.funcs.is_empty() => Some(kernel.btf_load(btf.bytes())?),
        _ => None,
    };
    Ok(Prepared { maps, btf })
}

fn create(
    kernel: &dyn Kernel,
    map: &CaseMap,
    types: &mut Vec<(*const Btf, BtfFd)>,
) -> Result<MapFd, PrepareError> {
    let inner = match &map.inner {
        Some(inner) => Some(create(kernel, inner, types)?),
        None => None,
    };
    if let Some(btf) = &map.btf
        && !types.iter().any(|(known, _)| *known == Arc::as_ptr(&btf.btf))
    {
        types.push((Arc::as_ptr(&btf.btf), kernel.btf_load(btf.btf.bytes())?));
    }
    let failed = |e| PrepareError::Map(map.name.clone(), e);
    let mut create = MapCreate::new(&map.name, map.ty, map.key_size, map.value_size, map.max_entries);
    create.flags = map.flags;
    create.inner = inner.as_ref();
    if let Some(btf) = &map.btf {
        let fd = types.iter().find(|(known, _)| *known == Arc::as_ptr(&btf.btf)).map(|(_, fd)| fd);
        create.btf = fd.map(|fd| MapBtf { btf: fd, key_type_id: btf.key, value_type_id: btf.value });
    }
    let fd = kernel.map_create(&create).map_err(failed)?;
    if let Some(data) = &map.data {
        kernel.map_update(&fd, &[0; 4], data, UpdateMode::Any).map_err(failed)?;
    }
    if map.frozen {
        kernel.map_freeze(&fd).map_err(failed)?;
    }
    Ok(fd)
}

/// Loads the program of a case, for which `prepared` was made.
///
/// # Errors
/// The kernel's refusal.
pub fn load(
    kernel: &dyn Kernel,
    prepared: &Prepared,
    case: &Case,
    log: LogLevel,
) -> Result<Loaded, LoadError> {
    let mut slots = case.slots.clone();
    let mut i = 0;
    while i < slots.len() {
        if slots[i][0] == LOAD_IMM64 {
            if matches!(src(&slots[i]), MAP_FD | MAP_VALUE) {
                let index = imm(&slots[i]).cast_unsigned();
                let fd = prepared.maps.get(index as usize).map_or(-1, AsRawFd::as_raw_fd);
                set_imm(&mut slots[i], fd);
            }
            i += 1;
        }
        i += 1;
    }
    let funcs: Vec<FuncInfo> =
        case.funcs.iter().map(|f| FuncInfo { insn_off: f.slot, type_id: f.type_id }).collect();
    let lines: Vec<LineInfo> = case
        .lines
        .iter()
        .map(|l| LineInfo {
            insn_off: l.slot,
            file_name_off: l.file,
            line_off: l.text,
            line_col: l.line << 10 | l.column,
        })
        .collect();
    let mut load = ProgLoad::new(&case.name, case.ty, &slots);
    load.attach_type = case.attach_type;
    load.license = &case.license;
    load.flags = case.flags;
    load.log = log;
    load.target = case
        .attach
        .as_ref()
        .filter(|attach| attach.btf_id != 0)
        .map(|attach| AttachTarget::Vmlinux { btf_id: attach.btf_id });
    load.btf = prepared.btf.as_ref().map(|btf| ProgBtf { btf, func_info: &funcs, line_info: &lines });
    debug_assert!(load.target.is_none() || case.attach_type != AttachType::None);
    kernel.prog_load(&load)
}
