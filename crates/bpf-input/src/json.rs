//! Cases and verdicts as JSON lines.

use crate::case::{AttachTo, Case, CaseMap, FuncInfo, Judgement, MapBtf};
use crate::special::{kind_of, special_fields};
use bpf_facts::{AttachType, MapType, ProgType, prog_type_by_name};
use ebpf_asm::unlinked::{BTF_VAR, CALL, CALL_KFUNC, LOAD_IMM64, MAP_FD, MAP_VALUE, set_imm, set_src};
use hark_btf::Btf;
use serde_json::{Value, json};
use std::sync::Arc;
use verifier_sim::{SpecialField, SpecialKind};

/// Opens the BTF file of a path; the error says what is wrong with it.
pub type OpenBtf<'a> = &'a mut dyn FnMut(&str) -> Result<Arc<Btf>, String>;

/// A line that is no case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadCase {
    /// Its name, if it has one.
    pub name: String,
    /// What is wrong.
    pub why: String,
}

/// The kernel that a case is for.
#[derive(Clone, Debug, Default)]
pub struct CaseTarget {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// Its machine: `x86_64`, `aarch64`.
    pub arch: String,
    /// Its types.
    pub btf: Option<Arc<Btf>>,
}

/// The case in a line, and the kernel it is for.
///
/// # Errors
/// Says what is wrong with the line.
pub fn read_case(line: &str, open: OpenBtf<'_>) -> Result<(Case, CaseTarget), BadCase> {
    let value: Value = serde_json::from_str(line)
        .map_err(|e| BadCase { name: String::new(), why: format!("the line is no JSON: {e}") })?;
    let name = text(&value, "name").to_string();
    Reader { open, kernel: None }.case(&value).map_err(|why| BadCase { name, why })
}

/// The verdict on the case called `name`, as one line without its end.
pub fn write_verdict(name: &str, judged: &Judgement) -> String {
    let mut line = json!({ "name": name, "verdict": judged.verdict.name() });
    if let Some(slot) = judged.slot {
        line["insn"] = json!(slot);
    }
    line["reason"] = json!(judged.reason);
    line.to_string()
}

type Read<T> = Result<T, String>;

struct Reader<'a> {
    open: OpenBtf<'a>,
    kernel: Option<Arc<Btf>>,
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// A number; 0 if it is not there.
fn number(value: &Value, field: &str) -> Read<u32> {
    match &value[field] {
        Value::Null => Ok(0),
        v => as_u32(v).ok_or_else(|| format!("the field `{field}` is no 32-bit number")),
    }
}

fn as_u32(v: &Value) -> Option<u32> {
    let v = v.as_u64().or_else(|| v.as_i64().map(|v| u64::from(v as u32)))?;
    u32::try_from(v).ok()
}

fn flag(value: &Value, field: &str) -> bool {
    value[field].as_bool().unwrap_or_else(|| value[field].as_u64().is_some_and(|v| v != 0))
}

impl Reader<'_> {
    fn case(&mut self, value: &Value) -> Read<(Case, CaseTarget)> {
        let target = &value["target"];
        let target = CaseTarget {
            release: text(target, "kernel").to_string(),
            arch: text(target, "arch").to_string(),
            btf: self.btf(&target["btf"])?,
        };
        self.kernel = target.btf.clone();
        let number_of_type = number(value, "prog_type")?;
        let ty = ProgType::from_number(number_of_type)
            .or_else(|| prog_type_by_name(text(value, "prog_type_name")).map(|def| def.ty))
            .ok_or_else(|| format!("program type {number_of_type} is not known"))?;
        let mut case = Case::new(text(value, "name"), ty, slots(value)?);
        case.license = text(value, "license").to_string();
        case.flags = number(value, "prog_flags")?;
        let attach_type = number(value, "expected_attach_type")?;
        match AttachType::from_number(attach_type) {
            Some(attach_type) => case.attach_type = attach_type,
            None => case.unsure = Some(format!("attach type {attach_type}")),
        }
        let attach = &value["attach"];
        if attach.is_object() {
            let program = attach["obj_fd"].as_i64().is_some_and(|fd| fd > 0);
            let name = text(attach, "name").to_string();
            case.attach = Some(AttachTo { btf_id: number(attach, "btf_id")?, name, program });
        }
        for map in list(value, "maps") {
            match self.map(map)? {
                Ok(map) => case.maps.push(map),
                Err(why) => {
                    case.unsure = Some(why);
                    return Ok((case, target));
                }
            }
        }
        relocate(&mut case.slots, value)?;
        case.btf = self.btf(&value["btf"])?;
        for row in list(value, "func_info") {
            let pair = (as_u32(&row[0]), as_u32(&row[1]));
            let named = (as_u32(&row["insn_off"]), as_u32(&row["type_id"]));
            let (((Some(slot), Some(type_id)), _) | (_, (Some(slot), Some(type_id)))) = (pair, named) else {
                return Err("a row of `func_info` is no pair of numbers".to_string());
            };
            case.funcs.push(FuncInfo { slot, type_id });
        }
        case.funcs.sort_by_key(|func| func.slot);
        Ok((case, target))
    }

    /// The BTF of a path, or of an object with a `file`.
    fn btf(&mut self, value: &Value) -> Read<Option<Arc<Btf>>> {
        let path = value.as_str().or_else(|| value["file"].as_str()).unwrap_or_default();
        if path.is_empty() {
            return Ok(None);
        }
        (self.open)(path).map(Some)
    }

    /// A map; the inner error is what is not modelled of it.
    fn map(&mut self, value: &Value) -> Read<Result<CaseMap, String>> {
        let ty = number(value, "type")?;
        let by_name = || bpf_facts::map_type_by_name(text(value, "type_name")).map(|def| def.ty);
        let Some(ty) = MapType::from_number(ty).or_else(by_name) else {
            return Ok(Err(format!("map type {ty}")));
        };
        let mut map = CaseMap::new(
            text(value, "name"),
            ty,
            number(value, "key_size")?,
            number(value, "value_size")?,
            number(value, "max_entries")?,
        );
        map.flags = number(value, "flags")?;
        map.extra = value["map_extra"].as_u64().unwrap_or(0);
        map.frozen = flag(value, "frozen");
        if let Some(hex) = value["data"].as_str().filter(|hex| !hex.is_empty()) {
            map.data = Some(from_hex(hex).ok_or("`data` of a map is no hexadecimal text")?);
        }
        let types = &value["btf"];
        if let Some(btf) = self.btf(types)? {
            let (key, value) = (number(types, "key_type_id")?, number(types, "value_type_id")?);
            if value != 0 {
                map.special = special_fields(&btf, value, self.kernel.as_deref());
            }
            map.btf = Some(MapBtf { btf, key, value });
        }
        for field in list(value, "special_fields") {
            let (off, size) = (number(field, "off")?, number(field, "size")?);
            let kind = match text(field, "kind") {
                name if name.contains("kptr") => {
                    SpecialKind::Kptr { target: None, referenced: !name.contains("un") }
                }
                name => kind_of(name).unwrap_or(SpecialKind::Other),
            };
            if !map.special.iter().any(|known| known.off == off) {
                map.special.push(SpecialField { kind, off, size });
            }
        }
        map.special.sort_by_key(|field| field.off);
        if value["inner"].is_object() {
            match self.map(&value["inner"])? {
                Ok(inner) => map.inner = Some(Box::new(inner)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(map))
    }
}

fn slots(value: &Value) -> Read<Vec<[u8; 8]>> {
    list(value, "insns")
        .iter()
        .map(|insn| {
            let bytes = insn.as_str().and_then(from_hex);
            bytes
                .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
                .ok_or_else(|| format!("{insn} is no instruction of 16 hexadecimal digits"))
        })
        .collect()
}

/// Fills in what the case names beside its instructions.
fn relocate(slots: &mut [[u8; 8]], value: &Value) -> Read<()> {
    let at = |slots: &mut [[u8; 8]], row: &Value| -> Read<usize> {
        let at = number(row, "insn_index")? as usize;
        if at < slots.len() { Ok(at) } else { Err(format!("instruction {at} does not exist")) }
    };
    for row in list(value, "relocs") {
        let at = at(slots, row)?;
        if slots[at][0] != LOAD_IMM64 || at + 1 >= slots.len() {
            continue;
        }
        let src = if text(row, "kind") == "map_value" { MAP_VALUE } else { MAP_FD };
        set_src(&mut slots[at], src);
        if !row["map_index"].is_null() {
            set_imm(&mut slots[at], number(row, "map_index")?.cast_signed());
        }
        if src == MAP_VALUE && !row["off"].is_null() {
            let off = number(row, "off")?;
            set_imm(&mut slots[at + 1], off.cast_signed());
        }
    }
    for row in list(value, "kfuncs") {
        let at = at(slots, row)?;
        if slots[at][0] == CALL {
            set_src(&mut slots[at], CALL_KFUNC);
            set_imm(&mut slots[at], number(row, "btf_id")?.cast_signed());
        }
    }
    for row in list(value, "ksyms") {
        let at = at(slots, row)?;
        if slots[at][0] == LOAD_IMM64 {
            set_src(&mut slots[at], BTF_VAR);
            set_imm(&mut slots[at], number(row, "btf_id")?.cast_signed());
        }
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |d: u8| char::from(d).to_digit(16);
    digits.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier_sim::Verdict;

    fn read(line: &str) -> (Case, CaseTarget) {
        read_case(line, &mut |path| Err(format!("no file {path}"))).expect("a case")
    }

    #[test]
    fn a_case_of_a_map_look_up() {
        let line = r#"{"name":"lookup","target":{"kernel":"6.18.44-x","btf":"","arch":"x86_64"},
            "prog_type":2,"prog_type_name":"kprobe","expected_attach_type":0,"license":"GPL","prog_flags":0,
            "insns":["7a0af8ff00000000","bfa2000000000000","07020000f8ffffff","1801000000000000","0000000000000000",
                     "8500000001000000","b700000000000000","9500000000000000"],
            "relocs":[{"insn_index":3,"map_index":0,"kind":"map_fd","off":0}],
            "maps":[{"type":1,"type_name":"hash","key_size":8,"value_size":8,"max_entries":4,"flags":0}]}"#;
        let (case, target) = read(line);
        assert_eq!((case.ty, target.release.as_str()), (ProgType::Kprobe, "6.18.44-x"));
        assert_eq!(case.slots[3], [0x18, 0x11, 0, 0, 0, 0, 0, 0]);
        let profile = bpf_facts::KernelProfile::named(&target.release).unwrap();
        let judged = case.judge(&profile, None, &verifier_sim::Options::default());
        assert_eq!(judged.verdict, Verdict::Accept, "{}", judged.reason);
        assert_eq!(write_verdict("lookup", &judged), r#"{"name":"lookup","reason":"","verdict":"accept"}"#);
    }

    #[test]
    fn what_is_no_case_says_why() {
        let why = |line| read_case(line, &mut |_| Err("?".into())).expect_err("no case").why;
        assert!(why("{").contains("no JSON"));
        assert!(why(r#"{"prog_type":999}"#).contains("program type 999"));
        assert!(why(r#"{"prog_type":1,"insns":["12"]}"#).contains("16 hexadecimal digits"));
        assert!(why(r#"{"prog_type":1,"insns":[],"btf":"x"}"#).contains('?'));
    }

    #[test]
    fn structures_of_the_kernel_in_values() {
        let line = r#"{"name":"x","prog_type":1,"insns":[],"maps":[{"type":1,"key_size":4,"value_size":16,
            "max_entries":1,"special_fields":[{"kind":"bpf_spin_lock","off":0,"size":4},{"kind":"kptr","off":8,"size":8}]}]}"#;
        let special = &read(line).0.maps[0].special;
        assert_eq!(special[0].kind, SpecialKind::SpinLock);
        assert_eq!(special[1].kind, SpecialKind::Kptr { target: None, referenced: true });
    }
}
