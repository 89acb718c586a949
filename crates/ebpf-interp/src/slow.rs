//! Instructions that are rare: atomics, swaps, sign extension, packets, `may_goto`.

use crate::machine::{LOST, Machine};
use crate::trap::TrapKind;
use ebpf_asm::{AtomicOp, Callee, Insn, InsnIdx, Reg, Size, SwapOp, Width};

/// What comes after an instruction.
pub(crate) enum Flow {
    /// The next one.
    Next,
    /// Another one.
    Goto(InsnIdx),
    /// The end of the program, with this result.
    End(u64),
}

fn index(reg: Reg) -> usize {
    usize::from(reg.index())
}

pub(crate) fn execute(machine: &mut Machine<'_>, insn: Insn, r: &mut [u64; 16]) -> Result<Flow, TrapKind> {
    match insn {
        Insn::MovSx { w, from, dst, src } => {
            let value = sign_extended(r[index(src)], from);
            r[index(dst)] = truncated(value, w);
        }
        Insn::Neg { w, dst } => r[index(dst)] = truncated(r[index(dst)].wrapping_neg(), w),
        Insn::Swap { op, bits, dst } => {
            let value = r[index(dst)];
            let shift = 64 - u32::from(bits);
            r[index(dst)] = match op {
                SwapOp::ToLe => value << shift >> shift,
                SwapOp::ToBe | SwapOp::Swap => value.swap_bytes() >> shift,
            };
        }
        Insn::Atomic { size, op, fetch, base, off, src } => {
            let at = moved(r[index(base)], off);
            let old = load(machine, size, at)?;
            let operand = r[index(src)];
            let new = match op {
                AtomicOp::Add => old.wrapping_add(operand),
                AtomicOp::Or => old | operand,
                AtomicOp::And => old & operand,
                AtomicOp::Xor => old ^ operand,
                AtomicOp::Xchg => operand,
                AtomicOp::Cmpxchg => {
                    let same = if size == Size::W { old == u64::from(r[0] as u32) } else { old == r[0] };
                    if same { operand } else { old }
                }
            };
            store(machine, size, at, new)?;
            match op {
                AtomicOp::Cmpxchg => r[0] = old,
                AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor | AtomicOp::Xchg => {
                    if fetch {
                        r[index(src)] = old;
                    }
                }
            }
        }
        Insn::LoadAcquire { size, dst, base, off } => {
            r[index(dst)] = load(machine, size, moved(r[index(base)], off))?;
        }
        Insn::StoreRelease { size, base, off, src } => {
            store(machine, size, moved(r[index(base)], off), r[index(src)])?;
        }
        Insn::LoadPacket { size, index: register, imm } => {
            let at = match register {
                // The sum is one of 32 bits.
                Some(reg) => i64::from((r[index(reg)] as i32).wrapping_add(imm)),
                None => i64::from(imm),
            };
            let len = size.bytes() as usize;
            let bytes = usize::try_from(at).ok().and_then(|at| machine.packet.get(at..)?.get(..len));
            // Beyond the packet the program ends, with 0.
            let Some(bytes) = bytes else { return Ok(Flow::End(0)) };
            r[0] = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            r[1..6].fill(LOST);
        }
        Insn::MayGoto { to } => {
            if machine.may_goto == 0 {
                return Ok(Flow::Goto(to));
            }
            machine.may_goto -= 1;
        }
        Insn::CastAddrSpace { .. } => return Err(TrapKind::Unsupported("arenas are")),
        Insn::Call(Callee::Kfunc { btf_id, .. }) => return Err(TrapKind::Kfunc(btf_id)),
        Insn::LoadImm64 { imm, .. } => return Err(TrapKind::Unresolved(imm)),
        Insn::Alu { .. }
        | Insn::Load { .. }
        | Insn::Store { .. }
        | Insn::Jump { .. }
        | Insn::JumpIf { .. }
        | Insn::Call(Callee::Helper(_) | Callee::Local(_))
        | Insn::Exit => unreachable!("has a dense form"),
    }
    Ok(Flow::Next)
}

fn moved(base: u64, off: i16) -> u64 {
    base.wrapping_add(i64::from(off) as u64)
}

fn truncated(value: u64, w: Width) -> u64 {
    match w {
        Width::W32 => u64::from(value as u32),
        Width::W64 => value,
    }
}

fn sign_extended(value: u64, from: Size) -> u64 {
    match from {
        Size::B => i64::from(value as i8) as u64,
        Size::H => i64::from(value as i16) as u64,
        Size::W => i64::from(value as i32) as u64,
        Size::Dw => value,
    }
}

fn load(machine: &Machine<'_>, size: Size, at: u64) -> Result<u64, TrapKind> {
    Ok(match size {
        Size::B => u64::from(u8::from_le_bytes(machine.memory.load(at)?)),
        Size::H => u64::from(u16::from_le_bytes(machine.memory.load(at)?)),
        Size::W => u64::from(u32::from_le_bytes(machine.memory.load(at)?)),
        Size::Dw => u64::from_le_bytes(machine.memory.load(at)?),
    })
}

fn store(machine: &mut Machine<'_>, size: Size, at: u64, value: u64) -> Result<(), TrapKind> {
    match size {
        Size::B => machine.memory.store(at, (value as u8).to_le_bytes())?,
        Size::H => machine.memory.store(at, (value as u16).to_le_bytes())?,
        Size::W => machine.memory.store(at, (value as u32).to_le_bytes())?,
        Size::Dw => machine.memory.store(at, value.to_le_bytes())?,
    }
    Ok(())
}
