//! One program with everything it is loaded with, and the simulated verdict on it.

use bpf_facts::{AttachType, KernelProfile, MapType, ProgType};
use ebpf_asm::{InsnIdx, Program, Slot, decode};
use hark_btf::{Btf, TypeId};
use std::sync::Arc;
use verifier_sim::{FuncDef, MapShape, Options, ProgEnv, Report, SpecialField, Verdict, verify};

/// `BPF_F_STRICT_ALIGNMENT`, a bit of `prog_flags`.
const STRICT_ALIGNMENT: u32 = 1;
/// `BPF_F_ANY_ALIGNMENT`: no effect for the privileged.
const ANY_ALIGNMENT: u32 = 1 << 1;
/// `BPF_F_TEST_RND_HI32`: no effect on the verdict.
const TEST_RND_HI32: u32 = 1 << 2;
/// `BPF_F_SLEEPABLE`.
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_XDP_HAS_FRAGS`: no effect on the verdict.
const XDP_HAS_FRAGS: u32 = 1 << 5;

/// What a program is attached to, where the verifier asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachTo {
    /// Its type in the kernel's BTF.
    pub btf_id: u32,
    /// Its name.
    pub name: String,
    /// Whether it is another BPF program.
    pub program: bool,
}

/// Types of a map's key and value.
#[derive(Clone, Debug)]
pub struct MapBtf {
    /// The BTF.
    pub btf: Arc<Btf>,
    /// Type of the key; 0 for none.
    pub key: u32,
    /// Type of the value; 0 for none.
    pub value: u32,
}

/// A map that a program uses.
#[derive(Clone, Debug)]
pub struct CaseMap {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `map_flags`.
    pub flags: u32,
    /// `map_extra`.
    pub extra: u64,
    /// Types.
    pub btf: Option<MapBtf>,
    /// Structures of the kernel in its values.
    pub special: Vec<SpecialField>,
    /// The shape of the maps in it.
    pub inner: Option<Box<CaseMap>>,
    /// Whether user space can no longer change it.
    pub frozen: bool,
    /// Content of a one-entry array.
    pub data: Option<Vec<u8>>,
}

impl CaseMap {
    /// A plain map.
    pub fn new(name: &str, ty: MapType, key_size: u32, value_size: u32, max_entries: u32) -> CaseMap {
        CaseMap {
            name: name.to_string(),
            ty,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            btf: None,
            special: Vec::new(),
            inner: None,
            frozen: false,
            data: None,
        }
    }

    fn shape(&self) -> MapShape {
        MapShape {
            flags: self.flags,
            frozen: self.frozen,
            data: self.data.clone(),
            special: self.special.clone(),
            inner: self.inner.as_ref().map(|inner| Box::new(inner.shape())),
            ..MapShape::new(self.ty, self.key_size, self.value_size, self.max_entries)
        }
    }
}

/// Where a function begins, and its `BTF_KIND_FUNC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// First instruction, in slots.
    pub slot: u32,
    /// Type in the program's BTF.
    pub type_id: u32,
}

/// Which source line an instruction comes from, as BTF has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// First instruction, in slots.
    pub slot: u32,
    /// File name, as an offset into the BTF strings.
    pub file: u32,
    /// The line's text, as an offset into the BTF strings.
    pub text: u32,
    /// Line from 1.
    pub line: u32,
    /// Column from 1.
    pub column: u32,
}

/// A line of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// File name as the compiler had it.
    pub file: &'a str,
    /// Line from 1.
    pub line: u32,
    /// Column from 1.
    pub column: u32,
    /// Its text.
    pub text: &'a str,
}

/// A program as the kernel would be given it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: ProgType,
    /// Expected attach type.
    pub attach_type: AttachType,
    /// What it is attached to.
    pub attach: Option<AttachTo>,
    /// Licence.
    pub license: String,
    /// `prog_flags`.
    pub flags: u32,
    /// Instructions. Loads of maps have the map's index in `maps` for a descriptor.
    pub slots: Vec<[u8; 8]>,
    /// Maps.
    pub maps: Vec<CaseMap>,
    /// The program's own BTF.
    pub btf: Option<Arc<Btf>>,
    /// Functions, by rising slot.
    pub funcs: Vec<FuncInfo>,
    /// Lines, by rising slot.
    pub lines: Vec<LineInfo>,
    /// What no simulation can judge: why.
    pub unsure: Option<String>,
}

/// The simulated verdict.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Where, in slots.
    pub slot: Option<u32>,
    /// Why, in words; empty if accepted.
    pub reason: String,
    /// The program, if it could be read.
    pub program: Option<Program>,
    /// All that the simulation found, if it came so far.
    pub report: Option<Report>,
}

impl Judgement {
    fn unsure(reason: impl Into<String>) -> Judgement {
        Judgement { verdict: Verdict::Unsure, slot: None, reason: reason.into(), program: None, report: None }
    }
}

impl Case {
    /// A GPL program of this type without maps and types.
    pub fn new(name: &str, ty: ProgType, slots: Vec<[u8; 8]>) -> Case {
        Case {
            name: name.to_string(),
            ty,
            attach_type: AttachType::None,
            attach: None,
            license: "GPL".to_string(),
            flags: 0,
            slots,
            maps: Vec::new(),
            btf: None,
            funcs: Vec::new(),
            lines: Vec::new(),
            unsure: None,
        }
    }

    /// Whether the kernel takes the licence for one compatible with the GPL.
    pub fn is_gpl(&self) -> bool {
        bpf_facts::GPL_LICENSES.contains(&self.license.as_str())
    }

    /// What the verifier of `profile`, whose types are `kernel_btf`, says of it.
    pub fn judge(&self, profile: &KernelProfile, kernel_btf: Option<&Btf>, options: &Options) -> Judgement {
        if let Some(why) = &self.unsure {
            return Judgement::unsure(why.clone());
        }
        let known = ANY_ALIGNMENT | TEST_RND_HI32 | SLEEPABLE | XDP_HAS_FRAGS;
        if self.flags & STRICT_ALIGNMENT != 0 {
            return Judgement::unsure("strict alignment");
        }
        if self.flags & !known != 0 {
            return Judgement::unsure(format!("program flags {:#x}", self.flags));
        }
        if self.attach.as_ref().is_some_and(|attach| attach.program) {
            return Judgement::unsure("a program attached to another program");
        }
        let (program, suspects) = match decode_leniently(&self.slots) {
            Ok(decoded) => decoded,
            Err(error) => {
                let known = may_be_newer(&error.kind);
                return Judgement {
                    verdict: if known { Verdict::Unsure } else { Verdict::Reject },
                    slot: Some(error.slot.0),
                    reason: format!("instruction-known: {error}"),
                    program: None,
                    report: None,
                };
            }
        };
        let map = program.slots();
        let suspects: Vec<InsnIdx> = suspects.iter().filter_map(|slot| map.starting_at(*slot)).collect();
        let mut funcs = Vec::new();
        for info in &self.funcs {
            let Some(at) = map.starting_at(Slot(info.slot)) else {
                return Judgement::unsure("a function that begins between instructions");
            };
            funcs.push(FuncDef { at, global: self.is_global(info.type_id), type_id: info.type_id });
        }
        let shapes: Vec<MapShape> = self.maps.iter().map(CaseMap::shape).collect();
        let env = ProgEnv {
            attach_type: self.attach_type,
            attach_btf_id: self.attach.as_ref().map(|attach| attach.btf_id).filter(|id| *id != 0),
            gpl: self.is_gpl(),
            sleepable: self.flags & SLEEPABLE != 0,
            btf: kernel_btf,
            prog_btf: self.btf.as_deref(),
            funcs: &funcs,
            suspects: &suspects,
            ..ProgEnv::new(self.ty, &shapes)
        };
        let report = verify(&program, &env, profile, options);
        let (at, reason) = match (report.findings.first(), &report.unsure) {
            (Some(finding), _) => (Some(finding.at), format!("{}: {}", finding.rule, finding.message)),
            (None, Some((at, what))) => (Some(*at), what.clone()),
            (None, None) => (None, String::new()),
        };
        let slot = at.and_then(|at: InsnIdx| map.slot_of(at)).map(|slot| slot.0);
        Judgement { verdict: report.verdict, slot, reason, program: Some(program), report: Some(report) }
    }

    fn is_global(&self, type_id: u32) -> bool {
        let func = self.btf.as_ref().and_then(|btf| btf.type_by_id(TypeId(type_id)));
        func.and_then(|func| func.linkage()) == Some(hark_btf::Linkage::Global)
    }

    /// The line of source that the instruction at `slot` comes from.
    pub fn source_line(&self, slot: u32) -> Option<SourceLine<'_>> {
        let btf = self.btf.as_deref()?;
        let after = self.lines.partition_point(|line| line.slot <= slot);
        let line = self.lines.get(after.checked_sub(1)?)?;
        Some(SourceLine {
            file: btf.string(line.file),
            line: line.line,
            column: line.column,
            text: btf.string(line.text).trim(),
        })
    }

    /// Name of the function that the instruction at `slot` is part of.
    pub fn function_at(&self, slot: u32) -> Option<&str> {
        let btf = self.btf.as_deref()?;
        let after = self.funcs.partition_point(|func| func.slot <= slot);
        let func = self.funcs.get(after.checked_sub(1)?)?;
        btf.type_by_id(TypeId(func.type_id)).map(|ty| ty.name())
    }
}

/// Whether kernels may know an instruction that is not known here: maps by their place in an array of descriptors
/// (`src` 5 and 6 of a two-slot load), and jumps to where a register says.
fn may_be_newer(kind: &ebpf_asm::DecodeErrorKind) -> bool {
    use ebpf_asm::DecodeErrorKind::{BadField, UnknownOpcode};
    const JUMP_BY_REGISTER: u8 = 0x0d;
    matches!(kind, BadField { opcode: 0x18, field: "src", value: 5 | 6 } | UnknownOpcode(JUMP_BY_REGISTER))
}

/// Most instructions with reserved fields in use that are tolerated.
const MAX_SUSPECTS: usize = 64;

/// The program, and the slots whose reserved fields are in use: kernels refuse those only where they walk over them.
fn decode_leniently(slots: &[[u8; 8]]) -> Result<(Program, Vec<Slot>), ebpf_asm::DecodeError> {
    use ebpf_asm::DecodeErrorKind::{BadField, Reserved};
    let mut slots = slots.to_vec();
    let mut suspects = Vec::new();
    loop {
        let error = match decode(&slots) {
            Ok(program) => return Ok((program, suspects)),
            Err(error) => error,
        };
        let (Reserved { opcode, field } | BadField { opcode, field, .. }) = error.kind else {
            return Err(error);
        };
        // Two-slot loads and other loads are looked at before the walk.
        if opcode & 0x07 <= 1 || suspects.len() >= MAX_SUSPECTS {
            return Err(error);
        }
        let slot = &mut slots[error.slot.0 as usize];
        match field {
            "dst" => slot[1] &= 0xf0,
            "src" => slot[1] &= 0x0f,
            "off" => slot[2..4].fill(0),
            _ => slot[4..].fill(0),
        }
        suspects.push(error.slot);
    }
}
