//! The context that a program is given: registers, a tracepoint's record, typed arguments.

use crate::catalog::TestCatalog;
use crate::memory::{Addresses, ObjectId, Objects, Word, bad};
use crate::play::Fired;
use crate::syntax::Value;
use bpf_facts::{Arch, ProgType, call_convention, ctx_layout, pt_regs, pt_regs_names};
use hark_btf::{Btf, FuncProto, Kind};
use hark_compiler::tracefs::parse_format;
use hark_diag::{Diagnostic, did_you_mean};
use hark_object::{Catalog, ProbeSpec};

/// The architecture that programs are compiled for.
const ARCH: Arch = Arch::X86_64;
/// Arguments of raw tracepoints and functions that a context has room for.
const ARGS: u32 = 12;

/// A context whose addresses are not known yet.
pub(crate) struct Context {
    bytes: Vec<u8>,
    pointers: Vec<(usize, ObjectId)>,
}

impl Context {
    /// Its bytes, with objects at these addresses.
    pub(crate) fn bytes(&self, addresses: &Addresses) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, id) in &self.pointers {
            bytes[*at..*at + 8].copy_from_slice(&addresses.of(*id).to_le_bytes());
        }
        bytes
    }

    fn room(&mut self, at: usize, len: usize) -> &mut [u8] {
        let end = self.bytes.len().max(at + len);
        self.bytes.resize(end, 0);
        &mut self.bytes[at..at + len]
    }
}

/// Where a value goes.
#[derive(Clone, Copy, Debug)]
enum Place {
    Word {
        at: u32,
        size: u32,
    },
    Chars {
        at: u32,
        len: u32,
    },
    /// A word that says where in the record the text lies.
    DataLoc {
        at: u32,
    },
}

/// What a program of type `ty` sees when this probe fires.
pub(crate) fn context(
    ty: ProgType,
    fired: &Fired,
    catalog: &TestCatalog,
    btf: Option<&Btf>,
    objects: &mut Objects<'_>,
) -> Result<Context, Box<Diagnostic>> {
    let places = places(ty, &fired.spec, catalog, btf);
    let size = ctx_layout(ty, ARCH).map_or(0, |layout| layout.size as usize);
    let mut context = Context { bytes: vec![0; size], pointers: Vec::new() };
    if ty == ProgType::Kprobe
        && let Some(addr) = catalog.address(&fired.spec)
    {
        context.room(call_convention(ARCH).ip as usize, 8).copy_from_slice(&addr.to_le_bytes());
    }
    for (_, place) in &places {
        if let Place::Word { at, size } = place {
            context.room(*at as usize, *size as usize);
        }
    }
    for assignment in &fired.fields {
        let span = assignment.span;
        let name = assignment.name.strip_prefix("args.").unwrap_or(&assignment.name);
        let Some((_, place)) = places.iter().find(|(known, _)| known == name) else {
            let mut diag = *bad(span, format!("{} has no `{name}`", fired.spec));
            let names = places.iter().map(|(name, _)| name.as_str());
            diag = match did_you_mean(name, names.clone()) {
                Some(near) => diag.with_help(format!("did you mean `{near}`?")),
                None => {
                    let some: Vec<&str> = names.take(12).collect();
                    diag.with_help(if some.is_empty() {
                        "it has nothing that could be set".to_owned()
                    } else {
                        format!("it has: {}", some.join(", "))
                    })
                }
            };
            return Err(Box::new(diag));
        };
        match (*place, &assignment.value) {
            (Place::Chars { at, len }, Value::Text(text)) => {
                let n = text.len().min((len as usize).saturating_sub(1));
                context.room(at as usize, len as usize)[..n].copy_from_slice(&text.as_bytes()[..n]);
            }
            (Place::DataLoc { at }, Value::Text(text)) => {
                let begin = context.bytes.len();
                context.bytes.extend_from_slice(text.as_bytes());
                context.bytes.push(0);
                let word = (text.len() as u32 + 1) << 16 | begin as u32;
                context.room(at as usize, 4).copy_from_slice(&word.to_le_bytes());
            }
            (Place::Chars { .. } | Place::DataLoc { .. }, _) => {
                return Err(bad(span, format!("`{name}` is a text")));
            }
            (Place::Word { at, size }, value) => match objects.word(value, span)? {
                Word::Number(n) => {
                    let size = size.min(8) as usize;
                    context.room(at as usize, size).copy_from_slice(&n.to_le_bytes()[..size]);
                }
                Word::AddressOf(id) if size == 8 => context.pointers.push((at as usize, id)),
                Word::AddressOf(_) => return Err(bad(span, format!("`{name}` is a number"))),
            },
        }
    }
    Ok(context)
}

/// Everything that can be set, by name.
fn places(ty: ProgType, spec: &ProbeSpec, catalog: &TestCatalog, btf: Option<&Btf>) -> Vec<(String, Place)> {
    let word = |at: u32| Place::Word { at, size: 8 };
    let mut places = Vec::new();
    match (ty, spec) {
        (ProgType::Tracepoint, ProbeSpec::Tracepoint { category, event }) => {
            let format = catalog.tracepoint_format(category, event).ok().flatten().unwrap_or_default();
            for field in parse_format(&format) {
                let at = field.offset;
                if field.data_loc {
                    places.push((field.name, Place::DataLoc { at }));
                } else if let (Some(n), true) = (field.array, field.base != "char" || field.pointers > 0) {
                    let size = field.size / n.max(1);
                    let element =
                        |i| (format!("{}[{i}]", field.name), Place::Word { at: at + i * size, size });
                    places.extend((0..n).map(element));
                } else if field.array.is_some() {
                    places.push((field.name, Place::Chars { at, len: field.size }));
                } else {
                    places.push((field.name, Place::Word { at, size: field.size }));
                }
            }
        }
        (ProgType::Kprobe | ProgType::PerfEvent, _) => {
            let calls = call_convention(ARCH);
            places.extend(calls.args.iter().enumerate().map(|(i, at)| (format!("arg{i}"), word(*at))));
            places.push(("retval".into(), word(calls.ret)));
            let registers =
                pt_regs_names(ARCH).filter_map(|name| Some((name.to_owned(), word(pt_regs(ARCH, name)?))));
            places.extend(registers);
        }
        (ProgType::Tracing, ProbeSpec::Fentry { func, .. }) => {
            if let Some(proto) = btf.and_then(|btf| btf.func_proto(func)) {
                places.extend(parameters(&proto, 0));
                places.push(("retval".into(), word(8 * proto.params.len() as u32)));
            }
        }
        (_, ProbeSpec::RawTracepoint { event }) => {
            let proto = btf.and_then(|btf| {
                let id = btf.find(Kind::Typedef, &format!("btf_trace_{event}"))?;
                btf.func_proto_of(id)
            });
            // The first parameter is the tracer's own.
            places.extend(proto.iter().flat_map(|proto| parameters(proto, 1)));
            places.extend((0..ARGS).map(|i| (format!("arg{i}"), word(8 * i))));
        }
        _ => {}
    }
    places
}

fn parameters(proto: &FuncProto<'_>, skip: usize) -> Vec<(String, Place)> {
    let named = proto.params.iter().skip(skip).enumerate();
    named.map(|(i, param)| (param.name.to_owned(), Place::Word { at: 8 * i as u32, size: 8 })).collect()
}
