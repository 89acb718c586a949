//! From instructions to slots.

use crate::insn::{Callee, Imm64, Insn, InsnIdx, MapRef, Operand, Program, Reg, Size, Slot, Width};
use crate::ops::{self, SRC_X, class};
use crate::slots::SlotMap;
use byteorder::{ByteOrder, LittleEndian};
use std::fmt;

/// An instruction that has no encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// Which instruction.
    pub at: InsnIdx,
    /// What is wrong with it.
    pub kind: EncodeErrorKind,
}

/// Why an instruction has no encoding. All are faults of whoever made the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncodeErrorKind {
    /// It refers to an instruction that the program does not have.
    NoSuchTarget(InsnIdx),
    /// A conditional jump over more slots than its 16-bit offset can say.
    TooFar {
        /// Where it was to go.
        to: InsnIdx,
        /// Distance in slots.
        slots: i64,
    },
    /// Its operands do not go together.
    BadOperands(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction {}: ", self.at.0)?;
        match &self.kind {
            EncodeErrorKind::NoSuchTarget(to) => write!(f, "target {} does not exist", to.0),
            EncodeErrorKind::TooFar { to, slots } => {
                write!(f, "conditional jump to {} spans {slots} slots, more than 16 bits can say", to.0)
            }
            EncodeErrorKind::BadOperands(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EncodeError {}

/// The fields of a slot.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fields {
    pub(crate) opcode: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

impl Fields {
    fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [self.opcode, self.src << 4 | self.dst, 0, 0, 0, 0, 0, 0];
        LittleEndian::write_i16(&mut bytes[2..4], self.off);
        LittleEndian::write_i32(&mut bytes[4..8], self.imm);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; 8]) -> Self {
        Self {
            opcode: bytes[0],
            dst: bytes[1] & 15,
            src: bytes[1] >> 4,
            off: LittleEndian::read_i16(&bytes[2..4]),
            imm: LittleEndian::read_i32(&bytes[4..8]),
        }
    }
}

/// The program as the kernel wants it. `maps` gives the descriptor of each map (or its index, where nothing is loaded).
///
/// # Errors
/// Names the instruction that cannot be encoded.
pub fn encode(p: &Program, maps: &dyn Fn(MapRef) -> i32) -> Result<Vec<[u8; 8]>, EncodeError> {
    let slots = p.slots();
    let mut out = Vec::with_capacity(slots.n_slots() as usize);
    for (insn, at) in p.insns.iter().zip((0..).map(InsnIdx)) {
        let encoder = Encoder { slots: &slots, here: slots.slot_of(at).unwrap_or_default(), maps };
        let (first, second) = encoder.insn(insn).map_err(|kind| EncodeError { at, kind })?;
        out.push(first.to_bytes());
        out.extend(second.map(Fields::to_bytes));
    }
    Ok(out)
}

struct Encoder<'a> {
    slots: &'a SlotMap,
    here: Slot,
    maps: &'a dyn Fn(MapRef) -> i32,
}

type Encoded = Result<(Fields, Option<Fields>), EncodeErrorKind>;

const fn bad<T>(why: &'static str) -> Result<T, EncodeErrorKind> {
    Err(EncodeErrorKind::BadOperands(why))
}

impl Encoder<'_> {
    /// Distance in slots from after this instruction's first slot to `to`.
    fn distance(&self, to: InsnIdx) -> Result<i64, EncodeErrorKind> {
        match self.slots.slot_of(to) {
            Some(slot) if slot.0 < self.slots.n_slots() => Ok(i64::from(slot.0) - i64::from(self.here.0) - 1),
            _ => Err(EncodeErrorKind::NoSuchTarget(to)),
        }
    }

    fn near(&self, to: InsnIdx) -> Result<i16, EncodeErrorKind> {
        let slots = self.distance(to)?;
        i16::try_from(slots).map_err(|_| EncodeErrorKind::TooFar { to, slots })
    }

    fn far(&self, to: InsnIdx) -> Result<i32, EncodeErrorKind> {
        let slots = self.distance(to)?;
        i32::try_from(slots).map_err(|_| EncodeErrorKind::TooFar { to, slots })
    }

    fn insn(&self, insn: &Insn) -> Encoded {
        let Some(def) = ops::find(ops::op_of(insn)) else {
            return bad("an atomic exchange always fetches the old value");
        };
        let code = def.code;
        let one = |fields: Fields| Ok((fields, None));
        match *insn {
            Insn::Alu { w, dst, src, .. } => {
                let off = i16::try_from(def.select).unwrap_or_default();
                let fields = Fields { opcode: code | alu_class(w), dst: dst.index(), off, ..operand(src) };
                one(Fields { opcode: fields.opcode | ops::src_bit(src), ..fields })
            }
            Insn::MovSx { w, from, dst, src } => {
                if from == Size::Dw || (from == Size::W && w == Width::W32) {
                    return bad("sign extension must be from less than the width");
                }
                let opcode = code | alu_class(w) | SRC_X;
                one(Fields { opcode, dst: dst.index(), src: src.index(), off: from.bits(), imm: 0 })
            }
            Insn::CastAddrSpace { dst, src, to, from } => {
                let opcode = code | class::ALU64 | SRC_X;
                let imm = (u32::from(to) << 16 | u32::from(from)).cast_signed();
                one(Fields { opcode, dst: dst.index(), src: src.index(), off: 1, imm })
            }
            Insn::Neg { w, dst } => {
                one(Fields { opcode: code | alu_class(w), dst: dst.index(), ..Fields::default() })
            }
            Insn::Swap { bits, dst, .. } => {
                if !matches!(bits, 16 | 32 | 64) {
                    return bad("a byte swap is of 16, 32 or 64 bits");
                }
                one(Fields { opcode: code, dst: dst.index(), imm: i32::from(bits), ..Fields::default() })
            }
            Insn::Load { size, sext, dst, base, off } => {
                if sext && size == Size::Dw {
                    return bad("an 8-byte load has nothing to extend");
                }
                let opcode = code | size_bits(size);
                one(Fields { opcode, dst: dst.index(), src: base.index(), off, imm: 0 })
            }
            Insn::Store { size, base, off, src } => {
                let class = match src {
                    Operand::Reg(_) => class::STX,
                    Operand::Imm(_) => class::ST,
                };
                let opcode = code | size_bits(size) | class;
                one(Fields { opcode, dst: base.index(), off, ..operand(src) })
            }
            Insn::Atomic { size, base, off, src, .. } => {
                if !matches!(size, Size::W | Size::Dw) {
                    return bad("an atomic operation is on 4 or 8 bytes");
                }
                one(atomic(code, size, base, off, src, def.select))
            }
            Insn::LoadAcquire { size, dst, base, off } => one(Fields {
                dst: dst.index(),
                src: base.index(),
                ..atomic(code, size, base, off, base, def.select)
            }),
            Insn::StoreRelease { size, base, off, src } => {
                one(atomic(code, size, base, off, src, def.select))
            }
            Insn::LoadPacket { size, index, imm } => {
                if size == Size::Dw {
                    return bad("a packet load is of at most 4 bytes");
                }
                let src = index.map_or(0, Reg::index);
                one(Fields { opcode: code | size_bits(size), dst: 0, src, off: 0, imm })
            }
            Insn::LoadImm64 { dst, imm } => {
                let (low, high) = match imm {
                    Imm64::Const(value) => halves(value),
                    Imm64::MapFd(map) => ((self.maps)(map), 0),
                    Imm64::MapValue(map, off) => ((self.maps)(map), off.cast_signed()),
                    Imm64::Func(to) => (self.far(to)?, 0),
                    Imm64::BtfVar { btf_id, btf_fd } => (btf_id.cast_signed(), btf_fd.cast_signed()),
                };
                let src = u8::try_from(def.select).unwrap_or_default();
                let first = Fields { opcode: code, dst: dst.index(), src, off: 0, imm: low };
                Ok((first, Some(Fields { imm: high, ..Fields::default() })))
            }
            Insn::Jump { to } => match self.near(to) {
                Ok(off) => one(Fields { opcode: code, off, ..Fields::default() }),
                Err(EncodeErrorKind::TooFar { .. }) => {
                    let opcode = ops::find(ops::Op::JumpLong).map_or(code, |def| def.code);
                    one(Fields { opcode, imm: self.far(to)?, ..Fields::default() })
                }
                Err(other) => Err(other),
            },
            Insn::JumpIf { w, lhs, rhs, to, .. } => {
                let class = match w {
                    Width::W32 => class::JMP32,
                    Width::W64 => class::JMP,
                };
                let opcode = code | class | ops::src_bit(rhs);
                one(Fields { opcode, dst: lhs.index(), off: self.near(to)?, ..operand(rhs) })
            }
            Insn::MayGoto { to } => one(Fields { opcode: code, off: self.near(to)?, ..Fields::default() }),
            Insn::Call(callee) => {
                let (imm, off) = match callee {
                    Callee::Helper(id) => (id.cast_signed(), 0),
                    Callee::Local(to) => (self.far(to)?, 0),
                    Callee::Kfunc { btf_id, module } => (btf_id.cast_signed(), module),
                };
                let src = u8::try_from(def.select).unwrap_or_default();
                one(Fields { opcode: code, dst: 0, src, off, imm })
            }
            Insn::Exit => one(Fields { opcode: code, ..Fields::default() }),
        }
    }
}

/// The fields of a second operand: source register or immediate.
fn operand(src: Operand) -> Fields {
    match src {
        Operand::Reg(reg) => Fields { src: reg.index(), ..Fields::default() },
        Operand::Imm(imm) => Fields { imm, ..Fields::default() },
    }
}

fn atomic(code: u8, size: Size, base: Reg, off: i16, src: Reg, imm: i32) -> Fields {
    Fields { opcode: code | size_bits(size), dst: base.index(), src: src.index(), off, imm }
}

const fn alu_class(w: Width) -> u8 {
    match w {
        Width::W32 => class::ALU,
        Width::W64 => class::ALU64,
    }
}

const fn size_bits(size: Size) -> u8 {
    match size {
        Size::W => 0x00,
        Size::H => 0x08,
        Size::B => 0x10,
        Size::Dw => 0x18,
    }
}

impl Size {
    /// In bits, as the offset field of a sign-extending move has it.
    pub(crate) const fn bits(self) -> i16 {
        match self {
            Size::B => 8,
            Size::H => 16,
            Size::W => 32,
            Size::Dw => 64,
        }
    }
}

/// Low and high half of a constant.
fn halves(value: u64) -> (i32, i32) {
    let mut bytes = [0; 8];
    LittleEndian::write_u64(&mut bytes, value);
    (LittleEndian::read_i32(&bytes[..4]), LittleEndian::read_i32(&bytes[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AluOp, AtomicOp, Cond, decode};

    fn bytes(insns: Vec<Insn>) -> Vec<[u8; 8]> {
        encode(&Program { insns, locs: vec![] }, &|map| map.0.cast_signed() + 100).expect("encodes")
    }

    fn one(insn: Insn) -> [u8; 8] {
        bytes(vec![insn])[0]
    }

    #[test]
    fn known_encodings() {
        let add = Insn::Alu { w: Width::W64, op: AluOp::Add, dst: Reg::R1, src: Operand::Imm(4) };
        assert_eq!(one(add), [0x07, 0x01, 0, 0, 4, 0, 0, 0]);
        let mov = Insn::Alu { w: Width::W64, op: AluOp::Mov, dst: Reg::R6, src: Operand::Reg(Reg::R1) };
        assert_eq!(one(mov), [0xbf, 0x16, 0, 0, 0, 0, 0, 0]);
        let sdiv = Insn::Alu { w: Width::W32, op: AluOp::Sdiv, dst: Reg::R2, src: Operand::Reg(Reg::R3) };
        assert_eq!(one(sdiv), [0x3c, 0x32, 1, 0, 0, 0, 0, 0]);
        let movsx = Insn::MovSx { w: Width::W64, from: Size::H, dst: Reg::R1, src: Reg::R2 };
        assert_eq!(one(movsx), [0xbf, 0x21, 16, 0, 0, 0, 0, 0]);
        let be = Insn::Swap { op: crate::SwapOp::ToBe, bits: 16, dst: Reg::R1 };
        assert_eq!(one(be), [0xdc, 0x01, 0, 0, 16, 0, 0, 0]);
        let load = Insn::Load { size: Size::W, sext: false, dst: Reg::R0, base: Reg::R1, off: 16 };
        assert_eq!(one(load), [0x61, 0x10, 16, 0, 0, 0, 0, 0]);
        let loadsx = Insn::Load { size: Size::B, sext: true, dst: Reg::R0, base: Reg::R1, off: 0 };
        assert_eq!(one(loadsx), [0x91, 0x10, 0, 0, 0, 0, 0, 0]);
        let store = Insn::Store { size: Size::Dw, base: Reg::R10, off: -8, src: Operand::Reg(Reg::R1) };
        assert_eq!(one(store), [0x7b, 0x1a, 0xf8, 0xff, 0, 0, 0, 0]);
        let store = Insn::Store { size: Size::B, base: Reg::R10, off: -1, src: Operand::Imm(7) };
        assert_eq!(one(store), [0x72, 0x0a, 0xff, 0xff, 7, 0, 0, 0]);
        let add = Insn::Atomic {
            size: Size::Dw,
            op: AtomicOp::Add,
            fetch: false,
            base: Reg::R1,
            off: 8,
            src: Reg::R2,
        };
        assert_eq!(one(add), [0xdb, 0x21, 8, 0, 0, 0, 0, 0]);
        assert_eq!(one(Insn::Call(Callee::Helper(14))), [0x85, 0, 0, 0, 14, 0, 0, 0]);
        assert_eq!(one(Insn::Exit), [0x95, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn wide_loads_take_two_slots() {
        let wide = Insn::LoadImm64 { dst: Reg::R1, imm: Imm64::Const(0x1122_3344_5566_7788) };
        assert_eq!(
            bytes(vec![wide]),
            [[0x18, 0x01, 0, 0, 0x88, 0x77, 0x66, 0x55], [0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11]]
        );
        let map = Insn::LoadImm64 { dst: Reg::R1, imm: Imm64::MapValue(MapRef(2), 8) };
        assert_eq!(bytes(vec![map]), [[0x18, 0x21, 0, 0, 102, 0, 0, 0], [0, 0, 0, 0, 8, 0, 0, 0]]);
    }

    #[test]
    fn jumps_count_slots() {
        let wide = Insn::LoadImm64 { dst: Reg::R1, imm: Imm64::Const(1) };
        let skip = Insn::JumpIf {
            w: Width::W64,
            cond: Cond::Sgt,
            lhs: Reg::R1,
            rhs: Operand::Imm(5),
            to: InsnIdx(2),
        };
        assert_eq!(bytes(vec![skip, wide, Insn::Exit])[0], [0x65, 0x01, 2, 0, 5, 0, 0, 0]);
        let back = Insn::Jump { to: InsnIdx(0) };
        assert_eq!(bytes(vec![wide, back])[2], [0x05, 0, 0xfd, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn far_jumps_become_long_and_far_branches_are_refused() {
        let mut insns = vec![Insn::Jump { to: InsnIdx(40_000) }];
        insns.resize(40_001, Insn::Exit);
        assert_eq!(bytes(insns.clone())[0], [0x06, 0, 0, 0, 0x3f, 0x9c, 0, 0]);
        let program = Program { insns: insns.clone(), locs: vec![] };
        assert_eq!(decode(&bytes(insns.clone())).as_ref(), Ok(&program));

        insns[0] = Insn::JumpIf {
            w: Width::W64,
            cond: Cond::Eq,
            lhs: Reg::R1,
            rhs: Operand::Imm(0),
            to: InsnIdx(40_000),
        };
        let error = encode(&Program { insns, locs: vec![] }, &|_| 0).expect_err("out of reach");
        assert_eq!(
            error,
            EncodeError {
                at: InsnIdx(0),
                kind: EncodeErrorKind::TooFar { to: InsnIdx(40_000), slots: 39_999 }
            }
        );
    }

    #[test]
    fn refuses_what_has_no_encoding() {
        let refused = |insn| {
            encode(&Program { insns: vec![insn], locs: vec![] }, &|_| 0).expect_err("no encoding").kind
        };
        assert_eq!(
            refused(Insn::Jump { to: InsnIdx(1) }),
            EncodeErrorKind::NoSuchTarget(InsnIdx(1)),
            "one past the end is no target"
        );
        for insn in [
            Insn::Swap { op: crate::SwapOp::ToBe, bits: 8, dst: Reg::R1 },
            Insn::MovSx { w: Width::W32, from: Size::W, dst: Reg::R1, src: Reg::R1 },
            Insn::Load { size: Size::Dw, sext: true, dst: Reg::R1, base: Reg::R1, off: 0 },
            Insn::LoadPacket { size: Size::Dw, index: None, imm: 0 },
            Insn::Atomic {
                size: Size::B,
                op: AtomicOp::Add,
                fetch: true,
                base: Reg::R1,
                off: 0,
                src: Reg::R1,
            },
            Insn::Atomic {
                size: Size::W,
                op: AtomicOp::Xchg,
                fetch: false,
                base: Reg::R1,
                off: 0,
                src: Reg::R1,
            },
        ] {
            assert!(matches!(refused(insn), EncodeErrorKind::BadOperands(_)), "{insn:?}");
        }
    }
}
