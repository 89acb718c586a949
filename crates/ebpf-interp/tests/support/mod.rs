//! Random instructions, and what arithmetic means said once more: in 128-bit integers, where nothing overflows.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use ebpf_asm::{
    AluOp, AtomicOp, Callee, Cond, Imm64, Insn, InsnIdx, MapRef, Operand, Reg, Size, SwapOp, Width,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::Dw];
const ATOMICS: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];

fn bits(w: Width) -> u32 {
    if w == Width::W32 { 32 } else { 64 }
}

/// The low bits as an unsigned and as a signed number.
fn both(w: Width, v: u64) -> (i128, i128) {
    let unsigned = i128::from(v) % (1 << bits(w));
    let half = 1i128 << (bits(w) - 1);
    (unsigned, if unsigned < half { unsigned } else { unsigned - 2 * half })
}

/// What `a op= b` leaves in a register.
pub fn alu(w: Width, op: AluOp, a: u64, b: u64) -> u64 {
    let ((ua, sa), (ub, sb)) = (both(w, a), both(w, b));
    let count = ub % i128::from(bits(w));
    let power = 1i128 << count;
    let result = match op {
        AluOp::Add => ua + ub,
        AluOp::Sub => ua - ub,
        // The product of two 64-bit numbers may need all 128 bits, of which the lower half counts.
        AluOp::Mul => (ua as u128).wrapping_mul(ub as u128) as i128,
        AluOp::Div => ua.checked_div(ub).unwrap_or(0),
        AluOp::Sdiv => sa.checked_div(sb).unwrap_or(0),
        AluOp::Mod => ua.checked_rem(ub).unwrap_or(ua),
        AluOp::Smod => sa.checked_rem(sb).unwrap_or(ua),
        AluOp::Or => ua | ub,
        AluOp::And => ua & ub,
        AluOp::Xor => ua ^ ub,
        AluOp::Lsh => (ua as u128).wrapping_mul(power as u128) as i128,
        AluOp::Rsh => ua / power,
        // Rounds down, as shifting does, where division would round to zero.
        AluOp::Arsh => sa.div_euclid(power),
        AluOp::Mov => ub,
    };
    (result as u128 % (1u128 << bits(w))) as u64
}

/// Whether a comparison holds.
pub fn compare(w: Width, cond: Cond, a: u64, b: u64) -> bool {
    let ((ua, sa), (ub, sb)) = (both(w, a), both(w, b));
    match cond {
        Cond::Eq => ua == ub,
        Cond::Ne => ua != ub,
        Cond::Gt => ua > ub,
        Cond::Ge => ua >= ub,
        Cond::Lt => ua < ub,
        Cond::Le => ua <= ub,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
        Cond::Set => ua & ub != 0,
    }
}

/// Numbers as they make trouble.
pub fn number() -> impl Strategy<Value = u64> {
    let edge = |n: u64| prop_oneof![Just(n), Just(n.wrapping_sub(1)), Just(n.wrapping_add(1))];
    prop_oneof![
        any::<u64>(),
        any::<u32>().prop_map(u64::from),
        (0u64..70),
        (0u32..64).prop_flat_map(move |n| edge(1 << n)),
        Just(u64::MAX),
        Just(i64::MIN as u64),
        Just(0xffff_ffff_8000_0000),
    ]
}

pub fn width() -> impl Strategy<Value = Width> {
    select(&[Width::W32, Width::W64][..])
}

pub fn reg(n: u8) -> impl Strategy<Value = Reg> {
    (0..n).prop_map(|n| Reg::new(n).expect("a register"))
}

fn operand(n: u8) -> impl Strategy<Value = Operand> {
    prop_oneof![reg(n).prop_map(Operand::Reg), number().prop_map(|n| Operand::Imm(n as i32))]
}

/// Arithmetic on the first `n` registers that every verifier lets pass.
pub fn arithmetic(n: u8) -> impl Strategy<Value = Insn> {
    let alu = (width(), select(&AluOp::ALL[..]), reg(n), operand(n)).prop_map(|(w, op, dst, src)| {
        let src = match (op, src) {
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Imm(n)) => {
                Operand::Imm(n & (bits(w) as i32 - 1))
            }
            (AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod, Operand::Imm(0)) => Operand::Imm(-1),
            (_, src) => src,
        };
        Insn::Alu { w, op, dst, src }
    });
    let swap = (select(&[SwapOp::ToLe, SwapOp::ToBe, SwapOp::Swap][..]), select(&[16u8, 32, 64][..]), reg(n));
    let sizes = select(&[Size::B, Size::H, Size::W][..]);
    prop_oneof![
        10 => alu,
        1 => (width(), reg(n)).prop_map(|(w, dst)| Insn::Neg { w, dst }),
        1 => swap.prop_map(|(op, bits, dst)| Insn::Swap { op, bits, dst }),
        2 => (width(), sizes, reg(n), reg(n)).prop_map(|(w, from, dst, src)| {
            let w = if from == Size::W { Width::W64 } else { w };
            Insn::MovSx { w, from, dst, src }
        }),
    ]
}

/// Any instruction at all, with targets among the first `len`.
pub fn anything(len: u32) -> impl Strategy<Value = Insn> {
    let to = move || (0..len).prop_map(InsnIdx);
    let size = || select(&SIZES[..]);
    let off = || prop_oneof![-600i16..600, any::<i16>()];
    let helper = prop_oneof![1u32..210, select(&[1u32, 2, 3, 131, 132, 164, 181][..])];
    let imm = prop_oneof![
        number().prop_map(Imm64::Const),
        (0u32..4).prop_map(|n| Imm64::MapFd(MapRef(n))),
        (0u32..4, 0u32..80).prop_map(|(n, off)| Imm64::MapValue(MapRef(n), off)),
        to().prop_map(Imm64::Func),
    ];
    prop_oneof![
        6 => arithmetic(11),
        3 => (size(), any::<bool>(), reg(11), reg(11), off()).prop_map(|(size, sext, dst, base, off)| {
            Insn::Load { size, sext: sext && size != Size::Dw, dst, base, off }
        }),
        3 => (size(), reg(11), off(), operand(11))
            .prop_map(|(size, base, off, src)| Insn::Store { size, base, off, src }),
        2 => (select(&[Size::W, Size::Dw][..]), select(&ATOMICS[..]), any::<bool>(), reg(11), off(), reg(11))
            .prop_map(|(size, op, fetch, base, off, src)| {
                let fetch = fetch || matches!(op, AtomicOp::Xchg | AtomicOp::Cmpxchg);
                Insn::Atomic { size, op, fetch, base, off, src }
            }),
        1 => (size(), reg(11), reg(11), off())
            .prop_map(|(size, dst, base, off)| Insn::LoadAcquire { size, dst, base, off }),
        1 => (size(), proptest::option::of(reg(11)), any::<i32>()).prop_map(|(size, index, imm)| {
            let size = if size == Size::Dw { Size::W } else { size };
            Insn::LoadPacket { size, index, imm: imm % 40 }
        }),
        3 => (reg(11), imm).prop_map(|(dst, imm)| Insn::LoadImm64 { dst, imm }),
        1 => to().prop_map(|to| Insn::Jump { to }),
        1 => to().prop_map(|to| Insn::MayGoto { to }),
        3 => (width(), select(&Cond::ALL[..]), reg(11), operand(11), to())
            .prop_map(|(w, cond, lhs, rhs, to)| Insn::JumpIf { w, cond, lhs, rhs, to }),
        3 => helper.prop_map(|id| Insn::Call(Callee::Helper(id))),
        1 => to().prop_map(|to| Insn::Call(Callee::Local(to))),
        1 => Just(Insn::Exit),
    ]
}
