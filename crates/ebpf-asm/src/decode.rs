//! From slots to instructions, strictly: what the kernel reserves must be zero.

use crate::encode::Fields;
use crate::insn::{Callee, Imm64, Insn, InsnIdx, MapRef, Operand, Program, Reg, Size, Slot, Width};
use crate::ops::{self, Family, MODE_MASK, Op, SIZE_MASK, SRC_X, class};
use std::fmt;

/// A slot that is no instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Which slot.
    pub slot: Slot,
    /// What is wrong with it.
    pub kind: DecodeErrorKind,
}

/// Why a slot is no instruction. All are faults of the bytecode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// No instruction has this opcode.
    UnknownOpcode(u8),
    /// The opcode exists, but not with this value in the field named.
    BadField {
        /// Opcode.
        opcode: u8,
        /// Field: `dst`, `src`, `off` or `imm`.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// A field that the instruction does not use is not zero.
    Reserved {
        /// Opcode.
        opcode: u8,
        /// Field: `dst`, `src`, `off` or `imm`.
        field: &'static str,
    },
    /// Registers end with `r10`.
    NoSuchRegister(u8),
    /// A 64-bit load whose second half is missing or is no second half.
    BadSecondHalf,
    /// A jump, call or address to where no instruction begins; the number is the slot.
    NoSuchTarget(i64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}: ", self.slot.0)?;
        match &self.kind {
            DecodeErrorKind::UnknownOpcode(opcode) => write!(f, "unknown opcode {opcode:#04x}"),
            DecodeErrorKind::BadField { opcode, field, value } => {
                write!(f, "opcode {opcode:#04x} does not exist with {field} = {value}")
            }
            DecodeErrorKind::Reserved { opcode, field } => {
                write!(f, "opcode {opcode:#04x} does not use {field}, which must be zero")
            }
            DecodeErrorKind::NoSuchRegister(n) => write!(f, "there is no register r{n}"),
            DecodeErrorKind::BadSecondHalf => write!(f, "64-bit load without its second half"),
            DecodeErrorKind::NoSuchTarget(slot) => {
                write!(f, "refers to slot {slot}, where no instruction begins")
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// The program in `slots`. The immediate of a map load becomes the [`MapRef`] as it stands.
///
/// # Errors
/// Names the first slot that is no instruction, and why.
pub fn decode(slots: &[[u8; 8]]) -> Result<Program, DecodeError> {
    let mut insns = Vec::with_capacity(slots.len());
    // Of each slot, the instruction that begins there.
    let mut starts: Vec<Option<InsnIdx>> = Vec::with_capacity(slots.len());
    let mut rest = slots.iter().map(Fields::from_bytes);
    let mut at = 0;
    while let Some(fields) = rest.next() {
        let slot = Slot(at);
        let error = |kind| DecodeError { slot, kind };
        starts.push(Some(InsnIdx(
            u32::try_from(insns.len()).map_err(|_| error(DecodeErrorKind::BadSecondHalf))?,
        )));
        let insn = if fields.opcode & (class::MASK | MODE_MASK) == class::LD {
            at += 1;
            starts.push(None);
            wide(fields, rest.next(), slot)
        } else {
            Decoder { fields, slot }.insn()
        };
        insns.push(insn.map_err(error)?);
        at += 1;
    }
    resolve(&mut insns, &starts)?;
    Ok(Program { insns, locs: Vec::new() })
}

/// Turns the targets, slots so far, into instructions.
fn resolve(insns: &mut [Insn], starts: &[Option<InsnIdx>]) -> Result<(), DecodeError> {
    let mut slot = Slot(0);
    for insn in insns {
        let next = slot.0 + insn.slots();
        if let Some(to) = insn.target_mut() {
            // Wrapped below zero or beyond the end: either way no index of `starts`.
            let found = starts.get(to.0 as usize).copied().flatten();
            let signed = i64::from(to.0.cast_signed());
            *to = found.ok_or(DecodeError { slot, kind: DecodeErrorKind::NoSuchTarget(signed) })?;
        }
        slot = Slot(next);
    }
    Ok(())
}

type Decoded = Result<Insn, DecodeErrorKind>;

struct Decoder {
    fields: Fields,
    slot: Slot,
}

impl Decoder {
    fn insn(&self) -> Decoded {
        match self.fields.opcode & class::MASK {
            class::ALU | class::ALU64 => self.alu(),
            class::JMP | class::JMP32 => self.jump(),
            class::LD => self.packet(),
            class::LDX => self.load(),
            _ => self.store(),
        }
    }

    fn alu(&self) -> Decoded {
        let Fields { opcode, off, imm, .. } = self.fields;
        let w = if opcode & class::MASK == class::ALU64 { Width::W64 } else { Width::W32 };
        let code = opcode & 0xf0;
        let in_reg = opcode & SRC_X != 0;
        let dst = self.dst()?;
        if let Some(def) = ops::by_bits(Family::Swap, opcode, 0)
            && let Op::Swap(op) = def.op
        {
            self.unused(&[Field::Src, Field::Off])?;
            let bits = match imm {
                16 => 16,
                32 => 32,
                64 => 64,
                _ => return self.bad("imm", imm),
            };
            return Ok(Insn::Swap { op, bits, dst });
        }
        let is_mov = ops::find(Op::MovSx).is_some_and(|def| def.code == code);
        if is_mov && in_reg && off != 0 {
            return self.moving(w);
        }
        match ops::by_bits(Family::Alu, code, off.into()).map(|def| def.op) {
            Some(Op::Alu(op)) => Ok(Insn::Alu { w, op, dst, src: self.operand(in_reg)? }),
            Some(Op::Neg) if !in_reg => {
                self.unused(&[Field::Src, Field::Imm])?;
                Ok(Insn::Neg { w, dst })
            }
            None if ops::by_bits(Family::Alu, code, 0).is_some() => self.bad("off", off.into()),
            _ => Err(DecodeErrorKind::UnknownOpcode(opcode)),
        }
    }

    /// A register move that is more than a copy.
    fn moving(&self, w: Width) -> Decoded {
        let (dst, src) = (self.dst()?, self.src()?);
        let from = match (self.fields.off, w) {
            (1, Width::W64) => {
                let imm = self.fields.imm.cast_unsigned();
                let [a, b, c, d] = imm.to_le_bytes();
                let (from, to) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
                return Ok(Insn::CastAddrSpace { dst, src, to, from });
            }
            (8, _) => Size::B,
            (16, _) => Size::H,
            (32, Width::W64) => Size::W,
            (off, _) => return self.bad("off", off.into()),
        };
        self.unused(&[Field::Imm])?;
        Ok(Insn::MovSx { w, from, dst, src })
    }

    fn jump(&self) -> Decoded {
        let Fields { opcode, src, off, imm, .. } = self.fields;
        if let Some(Op::JumpIf(cond)) = ops::by_bits(Family::JumpIf, opcode & 0xf0, 0).map(|def| def.op) {
            let w = if opcode & class::MASK == class::JMP { Width::W64 } else { Width::W32 };
            let rhs = self.operand(opcode & SRC_X != 0)?;
            return Ok(Insn::JumpIf { w, cond, lhs: self.dst()?, rhs, to: self.target(off.into()) });
        }
        let Some(def) = ops::by_bits(Family::Control, opcode, src.into()) else {
            return match ops::by_bits(Family::Control, opcode, 0) {
                Some(_) => self.bad("src", src.into()),
                None => Err(DecodeErrorKind::UnknownOpcode(opcode)),
            };
        };
        self.unused(&[Field::Dst])?;
        match def.op {
            Op::Jump => {
                self.unused(&[Field::Imm])?;
                Ok(Insn::Jump { to: self.target(off.into()) })
            }
            Op::JumpLong => {
                self.unused(&[Field::Off])?;
                Ok(Insn::Jump { to: self.target(imm) })
            }
            Op::MayGoto => {
                self.unused(&[Field::Imm])?;
                Ok(Insn::MayGoto { to: self.target(off.into()) })
            }
            Op::CallHelper => {
                self.unused(&[Field::Off])?;
                Ok(Insn::Call(Callee::Helper(imm.cast_unsigned())))
            }
            Op::CallLocal => {
                self.unused(&[Field::Off])?;
                Ok(Insn::Call(Callee::Local(self.target(imm))))
            }
            Op::CallKfunc => Ok(Insn::Call(Callee::Kfunc { btf_id: imm.cast_unsigned(), module: off })),
            Op::Exit => {
                self.unused(&[Field::Off, Field::Imm])?;
                Ok(Insn::Exit)
            }
            _ => Err(DecodeErrorKind::UnknownOpcode(opcode)),
        }
    }

    fn packet(&self) -> Decoded {
        let Fields { opcode, imm, .. } = self.fields;
        let size = self.size();
        let index = match ops::by_bits(Family::Memory, opcode & !SIZE_MASK, 0).map(|def| def.op) {
            Some(Op::LoadPacketAbs) if size != Size::Dw => {
                self.unused(&[Field::Src])?;
                None
            }
            Some(Op::LoadPacketInd) if size != Size::Dw => Some(self.src()?),
            _ => return Err(DecodeErrorKind::UnknownOpcode(opcode)),
        };
        self.unused(&[Field::Dst, Field::Off])?;
        Ok(Insn::LoadPacket { size, index, imm })
    }

    fn load(&self) -> Decoded {
        let Fields { opcode, off, .. } = self.fields;
        let size = self.size();
        let sext = match ops::by_bits(Family::Memory, opcode & !SIZE_MASK, 0).map(|def| def.op) {
            Some(Op::Load) => false,
            Some(Op::LoadSx) if size != Size::Dw => true,
            _ => return Err(DecodeErrorKind::UnknownOpcode(opcode)),
        };
        self.unused(&[Field::Imm])?;
        Ok(Insn::Load { size, sext, dst: self.dst()?, base: self.src()?, off })
    }

    fn store(&self) -> Decoded {
        let Fields { opcode, off, imm, .. } = self.fields;
        let size = self.size();
        let code = opcode & !SIZE_MASK;
        if ops::by_bits(Family::Memory, code & !class::MASK, 0).is_some_and(|def| def.op == Op::Store) {
            let src = self.operand(code & class::MASK == class::STX)?;
            return Ok(Insn::Store { size, base: self.dst()?, off, src });
        }
        if !ops::OPS.iter().any(|def| def.family == Family::Atomic && def.code == code) {
            return Err(DecodeErrorKind::UnknownOpcode(opcode));
        }
        let (dst, src) = (self.dst()?, self.src()?);
        match ops::by_bits(Family::Atomic, code, imm).map(|def| def.op) {
            Some(Op::LoadAcquire) => Ok(Insn::LoadAcquire { size, dst, base: src, off }),
            Some(Op::StoreRelease) => Ok(Insn::StoreRelease { size, base: dst, off, src }),
            Some(Op::Atomic { op, fetch }) if matches!(size, Size::W | Size::Dw) => {
                Ok(Insn::Atomic { size, op, fetch, base: dst, off, src })
            }
            Some(_) => Err(DecodeErrorKind::UnknownOpcode(opcode)),
            None => self.bad("imm", imm),
        }
    }

    fn size(&self) -> Size {
        match self.fields.opcode & SIZE_MASK {
            0x00 => Size::W,
            0x08 => Size::H,
            0x10 => Size::B,
            _ => Size::Dw,
        }
    }

    fn dst(&self) -> Result<Reg, DecodeErrorKind> {
        Reg::new(self.fields.dst).ok_or(DecodeErrorKind::NoSuchRegister(self.fields.dst))
    }

    fn src(&self) -> Result<Reg, DecodeErrorKind> {
        Reg::new(self.fields.src).ok_or(DecodeErrorKind::NoSuchRegister(self.fields.src))
    }

    /// Register or immediate; the one not used must be zero.
    fn operand(&self, in_reg: bool) -> Result<Operand, DecodeErrorKind> {
        if in_reg {
            self.unused(&[Field::Imm])?;
            self.src().map(Operand::Reg)
        } else {
            self.unused(&[Field::Src])?;
            Ok(Operand::Imm(self.fields.imm))
        }
    }

    /// The slot so far from here, to be resolved later; wraps where it is outside of any program.
    fn target(&self, distance: i32) -> InsnIdx {
        InsnIdx(self.slot.0.wrapping_add(1).wrapping_add_signed(distance))
    }

    fn unused(&self, fields: &[Field]) -> Result<(), DecodeErrorKind> {
        for field in fields {
            let Fields { opcode, dst, src, off, imm } = self.fields;
            let (zero, field) = match field {
                Field::Dst => (dst == 0, "dst"),
                Field::Src => (src == 0, "src"),
                Field::Off => (off == 0, "off"),
                Field::Imm => (imm == 0, "imm"),
            };
            if !zero {
                return Err(DecodeErrorKind::Reserved { opcode, field });
            }
        }
        Ok(())
    }

    fn bad<T>(&self, field: &'static str, value: i32) -> Result<T, DecodeErrorKind> {
        Err(DecodeErrorKind::BadField { opcode: self.fields.opcode, field, value })
    }
}

/// Fields of a slot that an instruction may not use.
#[derive(Clone, Copy)]
enum Field {
    Dst,
    Src,
    Off,
    Imm,
}

/// A load in two slots.
fn wide(first: Fields, second: Option<Fields>, slot: Slot) -> Decoded {
    let decoder = Decoder { fields: first, slot };
    let Some(def) = ops::by_bits(Family::Wide, first.opcode, first.src.into()) else {
        return match ops::by_bits(Family::Wide, first.opcode, 0) {
            Some(_) => decoder.bad("src", first.src.into()),
            None => Err(DecodeErrorKind::UnknownOpcode(first.opcode)),
        };
    };
    decoder.unused(&[Field::Off])?;
    let high = match second {
        Some(Fields { opcode: 0, dst: 0, src: 0, off: 0, imm }) => imm.cast_unsigned(),
        _ => return Err(DecodeErrorKind::BadSecondHalf),
    };
    let low = first.imm.cast_unsigned();
    let single = |imm| if high == 0 { Ok(imm) } else { Err(DecodeErrorKind::BadSecondHalf) };
    let imm = match def.op {
        Op::LoadMapFd => single(Imm64::MapFd(MapRef(low)))?,
        Op::LoadMapValue => Imm64::MapValue(MapRef(low), high),
        Op::LoadBtfVar => Imm64::BtfVar { btf_id: low, btf_fd: high },
        Op::LoadFunc => single(Imm64::Func(decoder.target(first.imm)))?,
        Op::LoadConst => Imm64::Const(u64::from(high) << 32 | u64::from(low)),
        _ => return Err(DecodeErrorKind::UnknownOpcode(first.opcode)),
    };
    Ok(Insn::LoadImm64 { dst: decoder.dst()?, imm })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

    #[track_caller]
    fn refused(slots: &[[u8; 8]], slot: u32, kind: DecodeErrorKind) {
        assert_eq!(decode(slots), Err(DecodeError { slot: Slot(slot), kind }));
    }

    #[test]
    fn unknown_opcodes() {
        use DecodeErrorKind::UnknownOpcode;
        refused(&[EXIT, [0xff, 0, 0, 0, 0, 0, 0, 0]], 1, UnknownOpcode(0xff));
        refused(&[[0x8d, 0, 0, 0, 0, 0, 0, 0]], 0, UnknownOpcode(0x8d));
        refused(&[[0x99, 0, 0, 0, 0, 0, 0, 0]], 0, UnknownOpcode(0x99));
        refused(&[[0, 0, 0, 0, 0, 0, 0, 0]], 0, UnknownOpcode(0));
    }

    #[test]
    fn reserved_fields_must_be_zero() {
        let reserved = |opcode, field| DecodeErrorKind::Reserved { opcode, field };
        refused(&[[0x95, 0, 0, 0, 1, 0, 0, 0]], 0, reserved(0x95, "imm"));
        refused(&[[0x95, 1, 0, 0, 0, 0, 0, 0]], 0, reserved(0x95, "dst"));
        refused(&[[0x07, 0x11, 0, 0, 1, 0, 0, 0]], 0, reserved(0x07, "src"));
        refused(&[[0x0f, 0x11, 0, 0, 1, 0, 0, 0]], 0, reserved(0x0f, "imm"));
        refused(&[[0x61, 0x11, 0, 0, 1, 0, 0, 0]], 0, reserved(0x61, "imm"));
    }

    #[test]
    fn fields_that_select_an_operation() {
        let bad = |opcode, field, value| DecodeErrorKind::BadField { opcode, field, value };
        refused(&[[0x0f, 0x11, 1, 0, 0, 0, 0, 0]], 0, bad(0x0f, "off", 1));
        refused(&[[0xbc, 0x11, 32, 0, 0, 0, 0, 0]], 0, bad(0xbc, "off", 32));
        refused(&[[0xdb, 0x11, 0, 0, 2, 0, 0, 0]], 0, bad(0xdb, "imm", 2));
        refused(&[[0x85, 0x30, 0, 0, 2, 0, 0, 0]], 0, bad(0x85, "src", 3));
    }

    #[test]
    fn registers_end_with_r10() {
        refused(&[[0xbf, 0x0b, 0, 0, 0, 0, 0, 0]], 0, DecodeErrorKind::NoSuchRegister(11));
    }

    #[test]
    fn halves_belong_together() {
        let first = [0x18, 0x01, 0, 0, 5, 0, 0, 0];
        refused(&[first], 0, DecodeErrorKind::BadSecondHalf);
        refused(&[first, EXIT], 0, DecodeErrorKind::BadSecondHalf);
    }

    #[test]
    fn jumps_go_where_instructions_begin() {
        let wide = [[0x18, 0x01, 0, 0, 5, 0, 0, 0], [0; 8]];
        let jump = |off: u8| [0x05, 0, off, if off > 127 { 255 } else { 0 }, 0, 0, 0, 0];
        refused(&[jump(1), wide[0], wide[1], EXIT], 0, DecodeErrorKind::NoSuchTarget(2));
        refused(&[jump(3), wide[0], wide[1], EXIT], 0, DecodeErrorKind::NoSuchTarget(4));
        refused(&[jump(0xfe), EXIT], 0, DecodeErrorKind::NoSuchTarget(-1));
        let program = decode(&[jump(2), wide[0], wide[1], EXIT]).expect("decodes");
        assert_eq!(program.insns[0], Insn::Jump { to: InsnIdx(2) });
    }
}
