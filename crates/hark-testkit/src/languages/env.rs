//! What a case's header says of the kernel, the program and its maps.

use anyhow::{Context, Result, bail};
use bpf_facts::{KernelProfile, ProgType, map_type_by_name, prog_type_by_name};
use verifier_sim::MapShape;

use crate::case::CaseFile;

/// The kernel that a case is about, if its header names none.
const DEFAULT_KERNEL: &str = "6.1";

/// `kernel = "6.1"`.
pub(super) fn profile(case: &CaseFile) -> Result<KernelProfile> {
    let name = case.str("kernel")?.unwrap_or(DEFAULT_KERNEL);
    KernelProfile::named(name).with_context(|| format!("no kernel {name:?}"))
}

/// `prog = "kprobe"`.
pub(super) fn prog_type(case: &CaseFile) -> Result<ProgType> {
    let name = case.str("prog")?.unwrap_or("kprobe");
    Ok(prog_type_by_name(name).with_context(|| format!("no program type {name:?}"))?.ty)
}

/// `maps = [{ type = "hash", key = 4, value = 8, max = 16 }]`; the first is `map[0]`. `flags`, `frozen = 1` and `data`
/// (hexadecimal) may follow.
pub(super) fn maps(case: &CaseFile) -> Result<Vec<MapShape>> {
    let Some(list) = case.get("maps") else { return Ok(Vec::new()) };
    let list = list.as_list().context("`maps` is a list")?;
    list.iter()
        .map(|map| {
            let name = map.get("type").and_then(|v| v.as_str()).context("a map needs a `type`")?;
            let Some(def) = map_type_by_name(name) else { bail!("no map type {name:?}") };
            let number = |key: &str| -> Result<u32> {
                let value =
                    map.get(key).and_then(|v| v.as_int()).with_context(|| format!("a map needs `{key}`"))?;
                u32::try_from(value).with_context(|| format!("`{key}` of a map"))
            };
            let mut shape = MapShape::new(def.ty, number("key")?, number("value")?, number("max")?);
            shape.flags = map.get("flags").map_or(Ok(0), |_| number("flags"))?;
            shape.frozen = map.get("frozen").and_then(|v| v.as_int()).is_some_and(|v| v != 0);
            shape.data = map.get("data").and_then(|v| v.as_str()).map(bytes).transpose()?;
            Ok(shape)
        })
        .collect()
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for pair in hex.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair)?;
        bytes.push(u8::from_str_radix(pair, 16).with_context(|| format!("`data` of a map: {pair:?}"))?);
    }
    Ok(bytes)
}
