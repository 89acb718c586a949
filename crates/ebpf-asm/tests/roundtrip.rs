//! Both forms of a program lead back to it, and no input makes the readers panic.

use ebpf_asm::{
    AluOp, AtomicOp, Callee, Cond, DisplayWith, Imm64, Insn, InsnIdx, Jumps, MapRef, Operand, Program, Reg,
    Size, SwapOp, Width, decode, encode, parse,
};
use proptest::prelude::*;
use proptest::sample::select;

fn reg() -> impl Strategy<Value = Reg> {
    (0..=10u8).prop_filter_map("r0 to r10", Reg::new)
}

fn width() -> impl Strategy<Value = Width> {
    select(vec![Width::W32, Width::W64])
}

fn size() -> impl Strategy<Value = Size> {
    select(vec![Size::B, Size::H, Size::W, Size::Dw])
}

fn imm() -> impl Strategy<Value = i32> {
    prop_oneof![-5..5, any::<i32>()]
}

fn off() -> impl Strategy<Value = i16> {
    prop_oneof![-16..16i16, any::<i16>()]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![reg().prop_map(Operand::Reg), imm().prop_map(Operand::Imm)]
}

/// An instruction of a program of `n`.
fn insn(n: u32) -> impl Strategy<Value = Insn> {
    use AluOp::{Add, And, Arsh, Div, Lsh, Mod, Mov, Mul, Or, Rsh, Sdiv, Smod, Sub, Xor};
    let alu = select(vec![Add, And, Arsh, Div, Lsh, Mod, Mov, Mul, Or, Rsh, Sdiv, Smod, Sub, Xor]);
    let cond = select(Cond::ALL.to_vec());
    let movsx = select(vec![
        (Width::W32, Size::B),
        (Width::W32, Size::H),
        (Width::W64, Size::B),
        (Width::W64, Size::H),
        (Width::W64, Size::W),
    ]);
    let swap = select(vec![SwapOp::ToLe, SwapOp::ToBe, SwapOp::Swap]);
    let atomic = select(vec![
        (AtomicOp::Add, false),
        (AtomicOp::Or, false),
        (AtomicOp::And, false),
        (AtomicOp::Xor, false),
        (AtomicOp::Add, true),
        (AtomicOp::Or, true),
        (AtomicOp::And, true),
        (AtomicOp::Xor, true),
        (AtomicOp::Xchg, true),
        (AtomicOp::Cmpxchg, true),
    ]);
    let to = move || (0..n).prop_map(InsnIdx);
    let imm64 = prop_oneof![
        any::<u64>().prop_map(Imm64::Const),
        any::<u32>().prop_map(|map| Imm64::MapFd(MapRef(map))),
        any::<(u32, u32)>().prop_map(|(map, off)| Imm64::MapValue(MapRef(map), off)),
        to().prop_map(Imm64::Func),
        any::<(u32, u32)>().prop_map(|(btf_id, btf_fd)| Imm64::BtfVar { btf_id, btf_fd }),
    ];
    let callee = prop_oneof![
        any::<u32>().prop_map(Callee::Helper),
        to().prop_map(Callee::Local),
        any::<(u32, i16)>().prop_map(|(btf_id, module)| Callee::Kfunc { btf_id, module }),
    ];
    let arithmetic = prop_oneof![
        (width(), alu, reg(), operand()).prop_map(|(w, op, dst, src)| Insn::Alu { w, op, dst, src }),
        (movsx, reg(), reg()).prop_map(|((w, from), dst, src)| Insn::MovSx { w, from, dst, src }),
        (width(), reg()).prop_map(|(w, dst)| Insn::Neg { w, dst }),
        (swap, select(vec![16, 32, 64]), reg()).prop_map(|(op, bits, dst)| Insn::Swap { op, bits, dst }),
        (reg(), reg(), any::<(u16, u16)>()).prop_map(|(dst, src, (to, from))| Insn::CastAddrSpace {
            dst,
            src,
            to,
            from
        }),
        (reg(), imm64).prop_map(|(dst, imm)| Insn::LoadImm64 { dst, imm }),
    ];
    let memory = prop_oneof![
        (size(), any::<bool>(), reg(), reg(), off()).prop_map(|(size, sext, dst, base, off)| {
            Insn::Load { size, sext: sext && size != Size::Dw, dst, base, off }
        }),
        (size(), reg(), off(), operand()).prop_map(|(size, base, off, src)| Insn::Store {
            size,
            base,
            off,
            src
        }),
        (select(vec![Size::W, Size::Dw]), atomic, reg(), off(), reg())
            .prop_map(|(size, (op, fetch), base, off, src)| Insn::Atomic { size, op, fetch, base, off, src }),
        (size(), reg(), reg(), off()).prop_map(|(size, dst, base, off)| Insn::LoadAcquire {
            size,
            dst,
            base,
            off
        }),
        (size(), reg(), off(), reg()).prop_map(|(size, base, off, src)| Insn::StoreRelease {
            size,
            base,
            off,
            src
        }),
        (select(vec![Size::B, Size::H, Size::W]), proptest::option::of(reg()), imm())
            .prop_map(|(size, index, imm)| Insn::LoadPacket { size, index, imm }),
    ];
    let control = prop_oneof![
        to().prop_map(|to| Insn::Jump { to }),
        (width(), cond, reg(), operand(), to()).prop_map(|(w, cond, lhs, rhs, to)| Insn::JumpIf {
            w,
            cond,
            lhs,
            rhs,
            to
        }),
        to().prop_map(|to| Insn::MayGoto { to }),
        callee.prop_map(Insn::Call),
        Just(Insn::Exit),
    ];
    prop_oneof![arithmetic, memory, control]
}

fn program() -> impl Strategy<Value = Program> {
    (1..24usize).prop_flat_map(|n| {
        let insn = insn(u32::try_from(n).unwrap_or(1));
        proptest::collection::vec(insn, n).prop_map(|insns| Program { insns, locs: vec![] })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bits_lead_back(p in program()) {
        let bytes = encode(&p, &|map| map.0.cast_signed()).expect("every such program has an encoding");
        prop_assert_eq!(bytes.len(), p.slots().n_slots() as usize);
        prop_assert_eq!(decode(&bytes), Ok(p));
    }

    #[test]
    fn text_leads_back(p in program(), labels: bool) {
        let jumps = if labels { Jumps::Labels } else { Jumps::Relative };
        let text = DisplayWith { jumps, ..p.display() }.to_string();
        prop_assert_eq!(parse(&text), Ok(p), "{}", text);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(slots in proptest::collection::vec(any::<[u8; 8]>(), 0..8)) {
        if let Ok(p) = decode(&slots) {
            let again = encode(&p, &|map| map.0.cast_signed()).expect("what was decoded has an encoding");
            prop_assert_eq!(decode(&again), Ok(p));
        }
    }

    /// Bytes that are nearly instructions get further than random ones.
    #[test]
    fn damaged_programs_decode_or_are_refused(p in program(), at in any::<prop::sample::Index>(), byte in 0..8usize, to: u8) {
        let mut slots = encode(&p, &|map| map.0.cast_signed()).expect("every such program has an encoding");
        let slot = at.index(slots.len());
        slots[slot][byte] = to;
        if let Ok(p) = decode(&slots) {
            let again = encode(&p, &|map| map.0.cast_signed()).expect("what was decoded has an encoding");
            prop_assert_eq!(decode(&again), Ok(p));
        }
    }

    #[test]
    fn any_text_parses_or_is_refused(text in "\\PC{0,60}") {
        let _ = parse(&text);
    }

    #[test]
    fn damaged_text_parses_or_is_refused(p in program(), at in any::<prop::sample::Index>(), to in "\\PC{0,3}|[-+0-9a-z()*=\\[\\] ]{0,3}") {
        let mut text: Vec<char> = p.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, to.chars());
        let _ = parse(&text.into_iter().collect::<String>());
    }
}
