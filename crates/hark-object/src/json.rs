//! Maps and objects as JSON, for tools that look at what a script became.

use crate::map::{MapDef, MapRole};
use crate::object::Object;
use bpf_facts::{map_type, prog_type};
use std::fmt::Write;

/// `text` as a JSON string, quotes included.
pub fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn map(def: &MapDef) -> String {
    let ty = map_type(def.ty).map_or("unknown", |row| row.name);
    let types = match &def.role {
        MapRole::User(user) => {
            let key = user.key.as_ref().map_or("null".into(), |key| json_string(&key.to_string()));
            format!(",\"key\":{key},\"value\":{}", json_string(&user.value.to_string()))
        }
        _ => String::new(),
    };
    format!(
        "{{\"name\":{},\"type\":{},\"key_size\":{},\"value_size\":{},\"max_entries\":{},\"flags\":{}{types}}}",
        json_string(&def.name),
        json_string(ty),
        def.key_size,
        def.value_size,
        def.max_entries,
        def.flags
    )
}

/// The maps of an object: an array of one object for each, in order.
pub fn json_maps(object: &Object) -> String {
    list(object.maps.iter().map(map)) + "\n"
}

/// An object: its licence, maps, programs and probes.
pub fn json_object(object: &Object) -> String {
    let programs = object.programs.iter().map(|program| {
        let ty = prog_type(program.ty).map_or("unknown", |row| row.name);
        let slots: u32 = program.code.insns.iter().map(ebpf_asm::Insn::slots).sum();
        format!(
            "{{\"name\":{},\"type\":{},\"instructions\":{slots}}}",
            json_string(&program.name),
            json_string(ty)
        )
    });
    let probes = object
        .probes
        .iter()
        .map(|probe| format!("{{\"name\":{},\"program\":{}}}", json_string(&probe.name), probe.program));
    format!(
        "{{\"license\":{},\"maps\":{},\"programs\":{},\"probes\":{}}}\n",
        json_string(&object.license),
        list(object.maps.iter().map(map)),
        list(programs),
        list(probes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json_string("a\"b\\c\n\u{1}ü"), "\"a\\\"b\\\\c\\n\\u0001ü\"");
    }
}
