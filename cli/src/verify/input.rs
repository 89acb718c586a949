//! What `hark verify` reads: objects and assembly.

use super::{Args, Target};
use crate::host;
use bpf_facts::{helper_by_name, map_type_by_name, prog_type_by_name};
use bpf_input::elf::{self, ElfError, Kernel};
use bpf_input::{Case, CaseMap};
use std::io::Read;

/// The programs of a file.
pub(super) fn read(path: &str, args: &Args, target: &Target) -> Result<Vec<Result<Case, ElfError>>, String> {
    let mut bytes = Vec::new();
    if path == "-" {
        std::io::stdin().read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    } else {
        bytes = std::fs::read(path).map_err(|e| format!("cannot be read: {e}"))?;
    }
    if !bytes.starts_with(b"\x7fELF") {
        return assembly(&bytes, args).map(|case| vec![Ok(case)]);
    }
    let kernel = Kernel {
        version: target.profile.version,
        btf: target.btf.clone(),
        n_cpus: bpf_syscall::cpus::possible().map_or(1, |cpus| cpus.len() as u32),
        config: host::kernel_config(),
    };
    let mut cases = elf::read(&bytes, &kernel).map_err(|e| e.to_string())?;
    if let Some(wanted) = &args.prog {
        cases.retain(|case| case.as_ref().map_or(true, |case| case.name == *wanted));
    }
    Ok(cases)
}

fn assembly(bytes: &[u8], args: &Args) -> Result<Case, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is neither an object nor assembly")?;
    let program = ebpf_asm::parse_with_helpers(text, &|name| Some(helper_by_name(name)?.id.0))
        .map_err(|e| format!("line {e}"))?;
    let slots =
        ebpf_asm::encode(&program, &|map| i32::try_from(map.0).unwrap_or(-1)).map_err(|e| e.to_string())?;
    let ty = prog_type_by_name(&args.ty).ok_or_else(|| format!("there is no program type {:?}", args.ty))?;
    let mut case = Case::new("main", ty.ty, slots);
    case.maps = args.maps.iter().map(|text| map(text)).collect::<Result<_, _>>()?;
    Ok(case)
}

/// `hash,4,8,16`.
fn map(text: &str) -> Result<CaseMap, String> {
    let wrong = || format!("{text:?} is no map: write TYPE,KEY,VALUE,ENTRIES, such as hash,4,8,16");
    let mut words = text.split(',');
    let ty = words.next().and_then(map_type_by_name).ok_or_else(wrong)?;
    let mut number = || words.next().and_then(|n| n.trim().parse::<u32>().ok()).ok_or_else(wrong);
    Ok(CaseMap::new(text, ty.ty, number()?, number()?, number()?))
}
