//! What instructions do: against a second opinion, against the running kernel, and that nothing is beyond them.

mod support;

use bpf_facts::ProgType;
use bpf_syscall::{Kernel, LinuxKernel, ProgLoad, TestRun, probe};
use ebpf_asm::{AluOp, Cond, Imm64, Insn, InsnIdx, Operand, Program, Reg, Width, encode, parse};
use ebpf_interp::{Access, Code, Entry, Memory, NoHelpers, Outcome, Trap, TrapKind, run};
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};
use proptest::test_runner::TestRunner;
use support::{alu, anything, arithmetic, compare, number, width};

fn execute(insns: Vec<Insn>, entry: Entry<'_>) -> Result<Outcome, Trap> {
    let program = Program { insns, locs: Vec::new() };
    run(&Code::new(&program, &|_| None), &mut Memory::new(), &mut NoHelpers, entry)
}

/// Runs a text with `ctx` as memory that `r1` points to and `r2` is the length of.
#[track_caller]
fn text(text: &str, ctx: &[u8]) -> Result<u64, Trap> {
    let program = parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut memory = Memory::new();
    let region = memory.add(ctx.to_vec(), Access::ReadWrite);
    let args = [memory.address(region, 0), ctx.len() as u64, 0, 0, 0];
    let entry = Entry { args, packet: ctx, fuel: 1 << 20 };
    run(&Code::new(&program, &|_| None), &mut memory, &mut NoHelpers, entry).map(|outcome| outcome.r0)
}

fn trap(at: u32, kind: TrapKind) -> Result<u64, Trap> {
    Err(Trap { at: InsnIdx(at), kind })
}

fn constant(reg: Reg, n: u64) -> Insn {
    Insn::LoadImm64 { dst: reg, imm: Imm64::Const(n) }
}

/// `r0 = a op b`, with `b` in a register or, where it fits, as an immediate.
fn operation(w: Width, op: AluOp, a: u64, b: Operand) -> Vec<Insn> {
    vec![constant(Reg::R0, a), Insn::Alu { w, op, dst: Reg::R0, src: b }, Insn::Exit]
}

/// `r0 = a cond b`
fn comparison(w: Width, cond: Cond, a: u64, b: Operand) -> Vec<Insn> {
    vec![
        constant(Reg::R1, a),
        constant(Reg::R0, 1),
        Insn::JumpIf { w, cond, lhs: Reg::R1, rhs: b, to: InsnIdx(4) },
        constant(Reg::R0, 0),
        Insn::Exit,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arithmetic_is_what_a_second_opinion_says(w in width(), a in number(), b in number()) {
        let entry = || Entry { args: [0, b, 0, 0, 0], ..Entry::with_context(0) };
        for op in AluOp::ALL {
            let in_register = execute(operation(w, op, a, Operand::Reg(Reg::R2)), entry());
            prop_assert_eq!(in_register.map(|o| o.r0), Ok(alu(w, op, a, b)), "{:?} {:?}", op, w);
            let imm = b as i32;
            let immediate = execute(operation(w, op, a, Operand::Imm(imm)), entry());
            prop_assert_eq!(immediate.map(|o| o.r0), Ok(alu(w, op, a, imm as u64)), "{:?} {:?}", op, w);
        }
    }

    #[test]
    fn comparisons_are_what_a_second_opinion_says(w in width(), a in number(), b in number()) {
        let entry = || Entry { args: [0, b, 0, 0, 0], ..Entry::with_context(0) };
        for cond in Cond::ALL {
            let in_register = execute(comparison(w, cond, a, Operand::Reg(Reg::R2)), entry());
            prop_assert_eq!(in_register.map(|o| o.r0), Ok(compare(w, cond, a, b).into()), "{:?} {:?}", cond, w);
            let imm = b as i32;
            let immediate = execute(comparison(w, cond, a, Operand::Imm(imm)), entry());
            prop_assert_eq!(immediate.map(|o| o.r0), Ok(compare(w, cond, a, imm as u64).into()), "{:?} {:?}", cond, w);
        }
    }

    /// Whatever the program: it ends, with a result or a trap, and leaves the memory as large as it was.
    #[test]
    fn no_program_panics(
        insns in proptest::collection::vec(anything(24), 1..24),
        args in proptest::array::uniform3(number()),
        inside in any::<bool>(),
    ) {
        let mut memory = Memory::new();
        let region = memory.add(vec![1; 64], Access::ReadWrite);
        let first = if inside { memory.address(region, 8) } else { args[0] };
        let program = Program { insns, locs: Vec::new() };
        let code = Code::new(&program, &|_| Some(memory.address(region, 16)));
        let entry = Entry { args: [first, args[1], args[2], 0, 0], packet: &[9; 32], fuel: 2000 };
        let outcome = run(&code, &mut memory, &mut NoHelpers, entry);
        prop_assert_eq!(memory.bytes(region).len(), 64);
        // The eight frames, which come before it, are gone.
        for n in 1..=8u64 {
            let frame = memory.address(region, 0) - (n << 32);
            prop_assert_eq!(memory.read(frame, 1).is_err(), true, "{:?}", outcome);
        }
    }
}

/// Straight arithmetic with a few forward jumps on `r0` to `r5`, all of which end up in the result.
fn kernel_program() -> impl Strategy<Value = Vec<Insn>> {
    let body = proptest::collection::vec((arithmetic(6), any::<u8>(), width(), number()), 1..40);
    (proptest::array::uniform6(number()), body).prop_map(|(start, body)| {
        let r = |n: usize| Reg::new(n as u8).expect("a register");
        let mut insns: Vec<Insn> = (0..6).map(|n| constant(r(n), start[n])).collect();
        for (insn, jump, w, n) in body {
            if jump < 40 {
                let cond = Cond::ALL[usize::from(jump) % Cond::ALL.len()];
                let to = InsnIdx(insns.len() as u32 + 2);
                let lhs = r(usize::from(jump) % 6);
                insns.push(Insn::JumpIf { w, cond, lhs, rhs: Operand::Imm(n as i32), to });
            }
            insns.push(insn);
        }
        let alu = |op, src| Insn::Alu { w: Width::W64, op, dst: Reg::R0, src };
        for n in 1..6 {
            insns.push(alu(AluOp::Mul, Operand::Imm(31)));
            insns.push(alu(AluOp::Xor, Operand::Reg(r(n))));
        }
        // Only 32 bits come back.
        insns.push(Insn::Alu { w: Width::W64, op: AluOp::Mov, dst: Reg::R1, src: Operand::Reg(Reg::R0) });
        insns.push(Insn::Alu { w: Width::W64, op: AluOp::Rsh, dst: Reg::R1, src: Operand::Imm(32) });
        insns.push(alu(AluOp::Xor, Operand::Reg(Reg::R1)));
        insns.push(Insn::Exit);
        insns
    })
}

#[test]
fn the_running_kernel_computes_the_same() {
    let kernel = match LinuxKernel::new().and_then(|kernel| probe::may_load(&kernel).map(|()| kernel)) {
        Ok(kernel) => kernel,
        Err(error) => return eprintln!("skipped: no programs can be loaded here: {error}"),
    };
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 300 };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&kernel_program(), |insns| {
            let program = Program { insns: insns.clone(), locs: Vec::new() };
            let slots = encode(&program, &|_| 0).expect("jumps are short");
            let loaded = kernel
                .prog_load(&ProgLoad::new("arithmetic", ProgType::SocketFilter, &slots))
                .unwrap_or_else(|e| panic!("{e}\n{}\n{program}", e.log.text));
            let run = TestRun { data: &[0; 64], ..TestRun::default() };
            let theirs = kernel.prog_test_run(&loaded.prog, &run).expect("it runs").retval;
            let ours = execute(insns, Entry::with_context(0)).expect("it runs").r0 as u32;
            prop_assert_eq!(ours, theirs, "{}", program);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn memory_is_little_endian_and_bounded() {
    let ctx = [0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87];
    let load = |what: &str| text(&format!("r0 = {what}\nexit"), &ctx);
    assert_eq!(load("*(u8 *)(r1 + 1)"), Ok(0x81));
    assert_eq!(load("*(u16 *)(r1 + 1)"), Ok(0x8281));
    assert_eq!(load("*(u32 *)(r1 + 4)"), Ok(0x8786_8584));
    assert_eq!(load("*(u64 *)(r1 + 0)"), Ok(0x8786_8584_8382_8180));
    assert_eq!(load("*(s8 *)(r1 + 0)"), Ok(0xffff_ffff_ffff_ff80));
    assert_eq!(load("*(s16 *)(r1 + 0)"), Ok(0xffff_ffff_ffff_8180));
    assert_eq!(load("*(s32 *)(r1 + 0)"), Ok(0xffff_ffff_8382_8180));
    for outside in ["*(u32 *)(r1 + 5)", "*(u8 *)(r1 + 8)", "*(u8 *)(r1 - 1)", "*(u8 *)(r2 + 0)"] {
        assert!(matches!(load(outside), Err(Trap { kind: TrapKind::Access(_), .. })), "{outside}");
    }
    assert_eq!(text("*(u16 *)(r1 + 2) = 258\nr0 = *(u64 *)(r1 + 0)\nexit", &[0; 8]), Ok(0x0102_0000));
}

#[test]
fn atomics_give_back_what_was_there() {
    let ctx = 5u64.to_le_bytes();
    let atomic = |what: &str, result: &str| text(&format!("r3 = 3\nr0 = 5\n{what}\n{result}\nexit"), &ctx);
    let memory = "r0 = *(u64 *)(r1 + 0)";
    assert_eq!(atomic("lock *(u64 *)(r1 + 0) += r3", memory), Ok(8));
    assert_eq!(atomic("r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)", memory), Ok(8));
    assert_eq!(atomic("r3 = atomic_fetch_add((u64 *)(r1 + 0), r3)", "r0 = r3"), Ok(5));
    assert_eq!(atomic("r3 = atomic_fetch_and((u64 *)(r1 + 0), r3)", memory), Ok(1));
    assert_eq!(atomic("r3 = atomic_fetch_or((u64 *)(r1 + 0), r3)", memory), Ok(7));
    assert_eq!(atomic("r3 = atomic_fetch_xor((u64 *)(r1 + 0), r3)", memory), Ok(6));
    assert_eq!(atomic("r3 = xchg_64(r1 + 0, r3)", "r0 = r3"), Ok(5));
    assert_eq!(atomic("r0 = cmpxchg_64(r1 + 0, r0, r3)", memory), Ok(3));
    assert_eq!(
        atomic("r0 = 6\nr0 = cmpxchg_64(r1 + 0, r0, r3)", "r0 <<= 8\nr4 = *(u64 *)(r1 + 0)\nr0 |= r4"),
        Ok(0x505)
    );
    // Of 32 bits, the rest of the register does not count and becomes zero.
    let high = "r0 = 0x100000005 ll\nw0 = cmpxchg32_32(r1 + 0, w0, w3)";
    assert_eq!(atomic(high, ""), Ok(5));
    assert_eq!(atomic(high, memory), Ok(3));
}

#[test]
fn calls_have_frames_of_their_own() {
    let sum = "r6 = 7\n*(u64 *)(r10 - 8) = 1\nr1 = 5\ncall double\nr0 += r6\nr1 = *(u64 *)(r10 - 8)\nr0 += r1\nexit\n\
               double: r6 = r1\n*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nr0 += r6\nexit";
    assert_eq!(text(sum, &[]), Ok(18));
    // A pointer to the caller's stack works, one beyond the own does not.
    let through =
        "r1 = r10\nr1 += -8\ncall put\nr0 = *(u64 *)(r10 - 8)\nexit\nput: *(u64 *)(r1 + 0) = 9\nr0 = 0\nexit";
    assert_eq!(text(through, &[]), Ok(9));
    assert!(text("r0 = *(u8 *)(r10 - 513)\nexit", &[]).is_err());
    assert_eq!(text("again: call again\nexit", &[]), trap(0, TrapKind::CallDepth));
}

#[test]
fn packets_are_big_endian_and_end_the_program_at_their_end() {
    let packet = [1, 2, 3, 4, 5, 6];
    assert_eq!(text("r6 = r1\nr0 = *(u16 *)skb[1]\nexit", &packet), Ok(0x203));
    assert_eq!(text("r6 = r1\nr3 = 2\nr0 = *(u32 *)skb[r3 + 0]\nexit", &packet), Ok(0x0304_0506));
    assert_eq!(text("r6 = r1\nr0 = *(u32 *)skb[3]\nr0 = 1\nexit", &packet), Ok(0));
}

#[test]
fn what_a_verifier_refuses_traps() {
    assert_eq!(text("r0 = 0", &[]), trap(1, TrapKind::RanOff));
    assert_eq!(text("r10 = 0\nexit", &[]), trap(0, TrapKind::FramePointer));
    assert_eq!(text("again: goto again", &[]), trap(0, TrapKind::Fuel));
    assert_eq!(text("call 5\nexit", &[]), trap(0, TrapKind::Helper(bpf_facts::HelperId(5))));
    let map = "r0 = 0\nr1 = map[3] ll\nexit";
    assert_eq!(text(map, &[]), trap(1, TrapKind::Unresolved(Imm64::MapFd(ebpf_asm::MapRef(3)))));
}
