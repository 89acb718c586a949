//! What is known of numbers, against numbers: arithmetic and comparisons of both widths on unknown operands.

use super::Finding;
use super::states::observe;
use crate::agree::rng::Rng;
use bpf_facts::{Arch, KernelProfile, ProgType};
use ebpf_asm::{AluOp, Cond, Imm64, Insn, InsnIdx, Operand, Program, Reg, Size, SwapOp, Width};
use verifier_sim::{Bounds, Options, ProgEnv, verify};

const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::Dw];
/// Registers that hold numbers; `r9` holds the context.
const NUMBERS: u8 = 6;
/// States of one walk that are compared with each other.
const MOST: usize = 40;

/// Generates arithmetic, watches it, and compares what is known at its points.
///
/// # Errors
/// If a number is not what is known of it, or "includes" is no order.
pub fn domains(bytes: &[u8]) -> Finding {
    let mut rng = Rng::from_bytes(bytes);
    let program = arithmetic(&mut rng);
    let profile = KernelProfile::of(bpf_facts::V(6, 18), Arch::X86_64);
    observe(&program, ProgType::Kprobe, &profile, &mut rng)?;
    let env = ProgEnv::new(ProgType::Kprobe, &[]);
    let report = verify(&program, &env, &profile, &Options { record: false, log: true });
    let lines = report.log.iter().flatten().take(MOST);
    let known: Vec<Bounds> = lines.flat_map(|line| line.before.regs[..6].iter().map(|reg| reg.val)).collect();
    for a in &known {
        if !a.includes(a) {
            return Err(format!("{a:?} does not include itself\n{program}"));
        }
    }
    for _ in 0..200 {
        let (a, b, c) = match known.len() {
            0 => break,
            _ => (rng.pick(&known), rng.pick(&known), rng.pick(&known)),
        };
        if a.includes(b) && b.includes(c) && !a.includes(c) {
            return Err(format!("{a:?} includes {b:?}, which includes {c:?}, but not that\n{program}"));
        }
        let v = rng.any();
        if a.includes(b) && b.contains(v) && !a.contains(v) {
            return Err(format!("{a:?} includes {b:?}, but not {v:#x}\n{program}"));
        }
    }
    Ok(())
}

fn arithmetic(rng: &mut Rng) -> Program {
    let reg = |n: u8| Reg::new(n).expect("ten registers");
    let context = reg(9);
    let alu = |w, op, dst, src| Insn::Alu { w, op, dst, src };
    let mut insns = vec![alu(Width::W64, AluOp::Mov, context, Operand::Reg(Reg::R1))];
    for n in 0..NUMBERS {
        insns.push(if rng.chance(60) {
            let off = 8 * i16::from(n);
            Insn::Load { size: Size::Dw, sext: false, dst: reg(n), base: context, off }
        } else {
            Insn::LoadImm64 { dst: reg(n), imm: Imm64::Const(number(rng)) }
        });
    }
    // Where jumps end that are still open, in instructions from here.
    let mut open: Vec<(usize, u64)> = Vec::new();
    for _ in 0..4 + rng.below(24) {
        let (dst, src) = (reg(rng.below(NUMBERS.into()) as u8), reg(rng.below(NUMBERS.into()) as u8));
        let w = if rng.chance(50) { Width::W64 } else { Width::W32 };
        match rng.below(10) {
            0..=4 => {
                let op = *rng.pick(&AluOp::ALL);
                insns.push(alu(w, op, dst, operand(rng, w, op, src)));
            }
            5 | 6 => {
                let cond = *rng.pick(&Cond::ALL);
                let rhs = if rng.chance(50) { Operand::Reg(src) } else { Operand::Imm(number(rng) as i32) };
                open.push((insns.len(), 1 + rng.below(4)));
                insns.push(Insn::JumpIf { w, cond, lhs: dst, rhs, to: InsnIdx(0) });
            }
            7 => insns.push(Insn::Neg { w, dst }),
            8 => {
                let (w, from) = *rng.pick(&[
                    (Width::W32, Size::B),
                    (Width::W32, Size::H),
                    (Width::W64, Size::B),
                    (Width::W64, Size::H),
                    (Width::W64, Size::W),
                ]);
                insns.push(Insn::MovSx { w, from, dst, src });
            }
            _ => {
                if rng.chance(50) {
                    let op = *rng.pick(&[SwapOp::ToLe, SwapOp::ToBe, SwapOp::Swap]);
                    insns.push(Insn::Swap { op, bits: *rng.pick(&[16, 32, 64]), dst });
                } else {
                    let size = *rng.pick(&SIZES);
                    let sext = size != Size::Dw && rng.chance(40);
                    let off = -8 * (1 + rng.below(3) as i16);
                    insns.push(Insn::Store { size: Size::Dw, base: Reg::R10, off, src: Operand::Reg(src) });
                    insns.push(Insn::Load { size, sext, dst, base: Reg::R10, off });
                }
            }
        }
        let here = InsnIdx(insns.len() as u32);
        open.retain_mut(|(at, left)| {
            *left = left.saturating_sub(1);
            if *left == 0
                && let Insn::JumpIf { to, .. } = &mut insns[*at]
            {
                *to = here;
            }
            *left > 0
        });
    }
    let end = InsnIdx(insns.len() as u32);
    for (at, _) in open {
        if let Insn::JumpIf { to, .. } = &mut insns[at] {
            *to = end;
        }
    }
    insns.push(alu(Width::W64, AluOp::Mov, Reg::R0, Operand::Imm(0)));
    insns.push(Insn::Exit);
    Program { insns, locs: Vec::new() }
}

/// Right operands that the verifier lets pass.
fn operand(rng: &mut Rng, w: Width, op: AluOp, src: Reg) -> Operand {
    if rng.chance(50) {
        return Operand::Reg(src);
    }
    let n = number(rng) as i32;
    Operand::Imm(match op {
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => n & if w == Width::W32 { 31 } else { 63 },
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if n == 0 => 1,
        _ => n,
    })
}

fn number(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => 1 << rng.below(64),
        2 => (1u64 << rng.below(64)).wrapping_sub(1),
        3 => (1u64 << rng.below(64)).wrapping_neg(),
        4 => u64::from(rng.below(256) as u8),
        5 => rng.below(256).wrapping_neg(),
        6 => u64::from(rng.any() as u32),
        _ => rng.any(),
    }
}
