//! Objects as text, for people: stable, no addresses, one thing a line.

use crate::config::{CONFIG_KEYS, Config};
use crate::event::{EventDef, EventKind, Field, Severity, TextFormat, Then};
use crate::map::{MapDef, MapRole};
use crate::object::{Object, ProgramDef};
use bpf_facts::{AttachType, map_type, prog_type};
use std::fmt::Write;

/// The maps of an object, one a line: `map[0] @reads : percpu_hash key=string[16] value=count max=4096`.
pub fn dump_maps(object: &Object) -> String {
    let mut out = String::new();
    for (i, map) in object.maps.iter().enumerate() {
        let _ = writeln!(out, "map[{i}] {}", describe_map(map));
    }
    out
}

/// The whole object: settings that are not at their default, maps, programs, probes, events. Instructions are only
/// counted; `asm` is the stage that shows them.
pub fn dump_object(object: &Object) -> String {
    let mut out = format!("license {}\n", object.license);
    let default = Config::default();
    for key in CONFIG_KEYS {
        let value = (key.get)(&object.config);
        if value != (key.get)(&default) {
            let _ = writeln!(out, "config {}={value}", key.name);
        }
    }
    out += &dump_maps(object);
    for (i, program) in object.programs.iter().enumerate() {
        let _ = writeln!(out, "program[{i}] {}", describe_program(program));
    }
    for (i, probe) in object.probes.iter().enumerate() {
        let spec = probe.spec.to_string();
        let alias = if spec == probe.name { String::new() } else { format!(" ({spec})") };
        let _ = writeln!(out, "probe[{i}] {}{alias} runs program[{}]", probe.name, probe.program);
    }
    for (i, event) in object.events.iter().enumerate() {
        let _ = writeln!(out, "event[{i}] {}", describe_event(event));
    }
    out
}

fn describe_map(map: &MapDef) -> String {
    let kind = map_type(map.ty).map_or_else(|| format!("{:?}", map.ty), |def| def.name.to_string());
    let mut out = format!("{} : {kind}", map.name);
    match &map.role {
        MapRole::User(user) => {
            if let Some(key) = &user.key {
                let _ = write!(out, " key={key}");
            }
            let _ = write!(out, " value={}", user.value);
            if user.generations {
                out += " generations";
            }
        }
        MapRole::Events => out += " events",
        MapRole::Scratch => {
            let _ = write!(out, " scratch value={}", map.value_size);
        }
        MapRole::Losses => out += " losses",
        MapRole::Failures(sites) => {
            let helpers: Vec<&str> = sites.iter().map(|site| &*site.helper).collect();
            let _ = write!(out, " failures={}", helpers.join(","));
        }
        MapRole::Pending => out += " pending",
        MapRole::Control => out += " control",
        MapRole::Generations => out += " generations",
        MapRole::Zero => out += " zero",
        MapRole::RunInfo => out += " run-info",
        MapRole::UnwindMappings => out += " unwind-mappings",
        MapRole::UnwindRows => out += " unwind-rows",
        MapRole::Data(data) => {
            let _ = write!(out, " data={}", escaped(data));
        }
    }
    match map.max_entries {
        0 => out += " max=auto",
        n => {
            let _ = write!(out, " max={n}");
        }
    }
    if map.flags != 0 {
        let _ = write!(out, " flags={:#x}", map.flags);
    }
    out
}

fn describe_program(program: &ProgramDef) -> String {
    let kind = prog_type(program.ty).map_or_else(|| format!("{:?}", program.ty), |def| def.name.to_string());
    let mut out = format!("{} : {kind}", program.name);
    if program.attach_type != AttachType::None {
        let _ = write!(out, " attach={:?}", program.attach_type);
    }
    if let Some(target) = &program.btf_target {
        let module = target.module.as_deref().unwrap_or("vmlinux");
        let _ = write!(out, " target={module}:{}", target.name);
    }
    if program.sleepable {
        out += " sleepable";
    }
    let _ = write!(out, " insns={}", program.code.insns.len());
    if let Some(types) = &program.types {
        let _ = write!(out, " functions={}", types.functions.len());
    }
    out
}

fn describe_event(event: &EventDef) -> String {
    let what = match &event.kind {
        EventKind::Printf(format) => format!("printf {}", text_format(format)),
        EventKind::Message(Severity::Warning, format, _) => format!("warnf {}", text_format(format)),
        EventKind::Message(Severity::Error, format, _) => format!("errorf {}", text_format(format)),
        EventKind::Print(value) => format!("print {}", field(value)),
        EventKind::PrintMap { map, top, div, then } => {
            let mut out = format!("print map[{}]", map.0);
            for (name, value) in [("top", top), ("div", div)] {
                if let Some(value) = value {
                    let _ = write!(out, " {name}={}", field(value));
                }
            }
            match then {
                Then::Keep => {}
                Then::Clear => out += " then=clear",
                Then::Zero => out += " then=zero",
            }
            out
        }
        EventKind::PrintMapValue { map, key, value } => {
            format!("print map[{}] key={} value={}", map.0, field(key), field(value))
        }
        EventKind::Clear(map) => format!("clear map[{}]", map.0),
        EventKind::Zero(map) => format!("zero map[{}]", map.0),
        EventKind::Exit(None) => "exit".into(),
        EventKind::Exit(Some(code)) => format!("exit {}", field(code)),
        EventKind::Time(format) => format!("time {format:?}"),
        EventKind::Join { separator, count, parts } => {
            let parts: Vec<String> = parts.iter().map(field).collect();
            format!("join sep={} n={} {}", escaped(separator), field(count), parts.join(" "))
        }
        EventKind::Cat(format) => format!("cat {}", text_format(format)),
        EventKind::System(format) => format!("system {}", text_format(format)),
        EventKind::RuntimeWarning(text) => format!("warning {text:?}"),
        EventKind::Packet { path, data } => format!("packet {path:?} {}", field(data)),
    };
    format!("{what} size={}", event.size)
}

fn text_format(format: &TextFormat) -> String {
    std::iter::once(format.format.to_string())
        .chain(format.args.iter().map(field))
        .collect::<Vec<_>>()
        .join(" ")
}

fn field(field: &Field) -> String {
    format!("{}@{}", field.ty, field.offset)
}

fn escaped(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agg::Agg;
    use crate::format::Format;
    use crate::map::UserMap;
    use crate::object::ProbeDef;
    use crate::probe::ProbeSpec;
    use crate::ty::Ty;
    use bpf_facts::{MapType, ProgType};
    use ebpf_asm::{Insn, MapRef, Program};
    use hark_diag::Span;

    #[test]
    fn an_object_reads_like_this() {
        let user = UserMap { key: Some(Ty::Str { cap: 16 }), value: Ty::Agg(Agg::Count), generations: false };
        let map = |name: &str, ty, max_entries, role| MapDef {
            name: name.into(),
            ty,
            key_size: 4,
            value_size: 8,
            max_entries,
            flags: 0,
            role,
        };
        let printf = TextFormat {
            format: Format::parse(b"%-5d 100%%\n").expect("a format"),
            args: vec![Field { offset: 8, ty: Ty::I64 }],
        };
        let event = |kind, size| EventDef { kind, size, span: Span::default() };
        let object = Object {
            license: "GPL".into(),
            maps: vec![
                map("@", MapType::PercpuHash, 4096, MapRole::User(user)),
                map("events", MapType::Ringbuf, 0, MapRole::Events),
            ],
            programs: vec![ProgramDef {
                name: "begin".into(),
                ty: ProgType::RawTracepoint,
                attach_type: AttachType::None,
                code: Program { insns: vec![Insn::Exit], locs: vec![] },
                btf_target: None,
                sleepable: false,
                types: None,
            }],
            probes: vec![ProbeDef {
                spec: ProbeSpec::Begin,
                program: 0,
                name: "begin".into(),
                span: Span::default(),
            }],
            events: vec![event(EventKind::Printf(printf), 16), event(EventKind::Clear(MapRef(0)), 8)],
            locs: vec![],
            config: Config { max_strlen: 64, ..Config::default() },
        };
        assert_eq!(
            dump_object(&object),
            "license GPL\n\
             config max_strlen=64\n\
             map[0] @ : percpu_hash key=string[16] value=count max=4096\n\
             map[1] events : ringbuf events max=auto\n\
             program[0] begin : raw_tracepoint insns=1\n\
             probe[0] begin runs program[0]\n\
             event[0] printf \"%-5d 100%%\\n\" int64@8 size=16\n\
             event[1] clear map[0] size=8\n"
        );
    }
}
