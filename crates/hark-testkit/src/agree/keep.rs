//! Keeps a disagreement as a golden case: what the kernel says is what is expected.

use super::maps::shapes;
use bpf_facts::{KernelProfile, ProgType, map_type, prog_type};
use ebpf_asm::Program;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// Writes the case below `dir`; its path. A case of the same name is replaced.
///
/// # Errors
/// If it cannot be written.
pub fn keep(
    dir: &Path,
    seed: u64,
    p: &Program,
    ty: ProgType,
    profile: &KernelProfile,
    accepted: bool,
) -> io::Result<PathBuf> {
    let name = prog_type(ty).map_or("unknown", |def| def.name);
    let verdict = if accepted { "accept" } else { "reject" };
    let mut text = format!("//! kernel = \"{}\"\n//! prog = \"{name}\"\n//! maps = [", profile.version);
    for (i, shape) in shapes().iter().enumerate() {
        let ty = map_type(shape.ty).map_or("unknown", |def| def.name);
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(
            text,
            "{comma}{{ type = \"{ty}\", key = {}, value = {}, max = {}",
            shape.key_size, shape.value_size, shape.max_entries
        );
        if let Some(data) = &shape.data {
            let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = write!(text, ", flags = {}, frozen = 1, data = \"{hex}\"", shape.flags);
        }
        if let Some(inner) = &shape.inner {
            let ty = map_type(inner.ty).map_or("unknown", |def| def.name);
            let _ = write!(
                text,
                ", inner = {{ type = \"{ty}\", key = {}, value = {}, max = {} }}",
                inner.key_size, inner.value_size, inner.max_entries
            );
        }
        text.push_str(" }");
    }
    let _ = write!(text, "]\n//! A kernel was seen to {verdict} it.\n{p}\n//= verdict\n// {verdict}\n");
    std::fs::create_dir_all(dir)?;
    let path = dir.join(format!("{name}-{}-{seed}", profile.version).replace(['_', '.'], "-") + ".s");
    std::fs::write(&path, text)?;
    Ok(path)
}
