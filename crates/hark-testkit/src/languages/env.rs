//! What a case's header says of the kernel, the program and its maps.

use anyhow::{Context, Result, bail};
use bpf_facts::{KernelProfile, ProgType, SectionTarget, map_type_by_name, prog_type_by_name, section_of};
use hark_btf::{Btf, Kind};
use verifier_sim::{MapShape, ProgEnv, SpecialField, SpecialKind};

use crate::case::CaseFile;
use crate::value::Value;

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
/// (hexadecimal) may follow, and `lock = OFFSET` of a lock in the value, and
/// `inner = { … }` of the maps in a map.
pub(super) fn maps(case: &CaseFile) -> Result<Vec<MapShape>> {
    let Some(list) = case.get("maps") else { return Ok(Vec::new()) };
    let list = list.as_list().context("`maps` is a list")?;
    list.iter().map(map).collect()
}

fn map(map: &Value) -> Result<MapShape> {
    let name = map.get("type").and_then(|v| v.as_str()).context("a map needs a `type`")?;
    let Some(def) = map_type_by_name(name) else { bail!("no map type {name:?}") };
    let number = |key: &str| -> Result<u32> {
        let value = map.get(key).and_then(|v| v.as_int()).with_context(|| format!("a map needs `{key}`"))?;
        u32::try_from(value).with_context(|| format!("`{key}` of a map"))
    };
    let mut shape = MapShape::new(def.ty, number("key")?, number("value")?, number("max")?);
    shape.flags = map.get("flags").map_or(Ok(0), |_| number("flags"))?;
    shape.frozen = map.get("frozen").and_then(|v| v.as_int()).is_some_and(|v| v != 0);
    shape.data = map.get("data").and_then(|v| v.as_str()).map(bytes).transpose()?;
    if let Some(off) = map.get("lock").and_then(|v| v.as_int()) {
        let off = u32::try_from(off).context("`lock` of a map")?;
        shape.special = vec![SpecialField { kind: SpecialKind::SpinLock, off, size: 4 }];
    }
    shape.inner = map.get("inner").map(|inner| self::map(inner).map(Box::new)).transpose()?;
    Ok(shape)
}

fn bytes(hex: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for pair in hex.as_bytes().chunks(2) {
        let pair = std::str::from_utf8(pair)?;
        bytes.push(u8::from_str_radix(pair, 16).with_context(|| format!("`data` of a map: {pair:?}"))?);
    }
    Ok(bytes)
}

/// `attach = "fentry/vfs_read"`: type and target as an object's section says them, in the kernel of `mini.btf`.
pub(super) fn attach<'a>(case: &CaseFile, btf: &'a Btf, env: &mut ProgEnv<'a>) -> Result<()> {
    let Some(section) = case.str("attach")? else { return Ok(()) };
    let (def, rest) = section_of(section).with_context(|| format!("no section {section:?}"))?;
    (env.ty, env.attach_type, env.sleepable) = (def.ty, def.attach, def.sleepable);
    env.btf = Some(btf);
    let (kind, name) = match def.target {
        SectionTarget::Function => (Kind::Func, rest.to_string()),
        SectionTarget::RawTracepoint => (Kind::Typedef, format!("btf_trace_{rest}")),
        SectionTarget::Iterator => (Kind::Func, format!("bpf_iter_{rest}")),
        SectionTarget::None | SectionTarget::Lsm | SectionTarget::Program => return Ok(()),
    };
    env.attach_btf_id = btf.find(kind, &name).map(|id| id.0);
    Ok(())
}
