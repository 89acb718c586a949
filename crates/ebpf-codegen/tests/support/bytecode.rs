//! Runs bytecode. Registers that calls lose are filled with rubbish.

use super::eval::atomic;
use super::memory::{ARRAY, CTX, FRAMES, Outcome, Trap, World, address};
use ebpf_asm::{AluOp, Callee, Cond, Imm64, Insn, Operand, Program, Reg, Size, SwapOp, Width};

const STACK: u32 = 512;

/// Runs a program from its first instruction.
pub fn run(p: &Program, ctx: &[u8]) -> Result<Outcome, Trap> {
    let mut world = World::new(ctx);
    world.add(FRAMES, vec![0x55; STACK as usize]);
    let mut r = [0xdead_beef_0bad_f00du64; 11];
    r[1] = address(CTX, 0);
    r[10] = address(FRAMES, STACK);
    let mut pc = 0usize;
    for _ in 0..400_000 {
        let insn = *p.insns.get(pc).ok_or_else(|| format!("ran to instruction {pc}"))?;
        pc += 1;
        let value = |r: &[u64; 11], o: Operand| match o {
            Operand::Reg(reg) => r[idx(reg)],
            Operand::Imm(n) => i64::from(n) as u64,
        };
        match insn {
            Insn::Alu { w, op, dst, src } => {
                let b = value(&r, src);
                r[idx(dst)] = alu(w, op, r[idx(dst)], b);
            }
            Insn::MovSx { w: Width::W64, from, dst, src } => r[idx(dst)] = sext(r[idx(src)], from),
            Insn::Neg { w, dst } => {
                let v = r[idx(dst)].wrapping_neg();
                r[idx(dst)] = if w == Width::W32 { u64::from(v as u32) } else { v };
            }
            Insn::Swap { op: SwapOp::ToBe | SwapOp::Swap, bits, dst } => {
                r[idx(dst)] = r[idx(dst)].swap_bytes() >> (64 - u32::from(bits));
            }
            Insn::Load { size, sext: signed, dst, base, off } => {
                let raw = world.load(moved(r[idx(base)], off), size.bytes() as usize)?;
                r[idx(dst)] = if signed { sext(raw, size) } else { raw };
            }
            Insn::Store { size, base, off, src } => {
                let to = moved(r[idx(base)], off);
                if (to >> 32) as u32 == FRAMES && !to.is_multiple_of(u64::from(size.bytes())) {
                    return Err(format!("misaligned store to the stack at instruction {}", pc - 1));
                }
                world.store(to, size.bytes() as usize, value(&r, src))?;
            }
            Insn::Atomic { size, op, fetch, base, off, src } => {
                let (to, size) = (moved(r[idx(base)], off), size.bytes() as usize);
                let old = world.load(to, size)?;
                world.store(to, size, atomic(op, old, r[idx(src)]))?;
                if fetch {
                    r[idx(src)] = old;
                }
            }
            Insn::LoadImm64 { dst, imm } => {
                r[idx(dst)] = match imm {
                    Imm64::Const(n) => n,
                    Imm64::MapFd(map) => u64::from(map.0),
                    Imm64::MapValue(_, off) => address(ARRAY, off),
                    Imm64::Func(_) | Imm64::BtfVar { .. } => return Err("not simulated".to_string()),
                }
            }
            Insn::Jump { to } => pc = to.0 as usize,
            Insn::JumpIf { w, cond, lhs, rhs, to } => {
                if compare(w, cond, r[idx(lhs)], value(&r, rhs)) {
                    pc = to.0 as usize;
                }
            }
            Insn::Call(Callee::Helper(id)) => {
                r[0] = world.helper(id, &r[1..6].to_vec()[..n_args(id)])?;
                r[1..6].fill(0xbad0_bad1_bad2_bad3);
            }
            Insn::Exit => return Ok(world.outcome(r[0])),
            other => return Err(format!("{other:?} is not simulated")),
        }
    }
    Err("runs too long".to_string())
}

fn n_args(id: u32) -> usize {
    let def = bpf_facts::helper(bpf_facts::HelperId(id)).expect("a known helper");
    def.args.iter().take_while(|a| **a != bpf_facts::Arg::None).count()
}

fn idx(r: Reg) -> usize {
    usize::from(r.index())
}

fn moved(base: u64, off: i16) -> u64 {
    base.wrapping_add(i64::from(off) as u64)
}

fn sext(v: u64, size: Size) -> u64 {
    match size {
        Size::B => i64::from(v as i8) as u64,
        Size::H => i64::from(v as i16) as u64,
        Size::W => i64::from(v as i32) as u64,
        Size::Dw => v,
    }
}

fn alu(w: Width, op: AluOp, a: u64, b: u64) -> u64 {
    match w {
        Width::W64 => match op {
            AluOp::Add => a.wrapping_add(b),
            AluOp::Sub => a.wrapping_sub(b),
            AluOp::Mul => a.wrapping_mul(b),
            AluOp::Div => a.checked_div(b).unwrap_or(0),
            AluOp::Mod => a.checked_rem(b).unwrap_or(a),
            AluOp::Sdiv if b == 0 => 0,
            AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
            AluOp::Smod if b == 0 => a,
            AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
            AluOp::Or => a | b,
            AluOp::And => a & b,
            AluOp::Xor => a ^ b,
            AluOp::Lsh => a << (b & 63),
            AluOp::Rsh => a >> (b & 63),
            AluOp::Arsh => ((a as i64) >> (b & 63)) as u64,
            AluOp::Mov => b,
        },
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            u64::from(match op {
                AluOp::Add => a.wrapping_add(b),
                AluOp::Sub => a.wrapping_sub(b),
                AluOp::Mul => a.wrapping_mul(b),
                AluOp::Or => a | b,
                AluOp::And => a & b,
                AluOp::Xor => a ^ b,
                AluOp::Lsh => a << (b & 31),
                AluOp::Rsh => a >> (b & 31),
                AluOp::Arsh => ((a as i32) >> (b & 31)) as u32,
                AluOp::Mov => b,
                AluOp::Div => a.checked_div(b).unwrap_or(0),
                AluOp::Mod => a.checked_rem(b).unwrap_or(a),
                AluOp::Sdiv | AluOp::Smod => unreachable!("not made"),
            })
        }
    }
}

fn compare(w: Width, cond: Cond, a: u64, b: u64) -> bool {
    let (a, b, sa, sb) = match w {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            (u64::from(a), u64::from(b), i64::from(a as i32), i64::from(b as i32))
        }
    };
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
        Cond::Set => a & b != 0,
    }
}
