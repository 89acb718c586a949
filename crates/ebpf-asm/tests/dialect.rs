//! What the assembly dialect looks like, and what else it is accepted as.

use ebpf_asm::{DisplayWith, InsnIdx, Jumps, parse, parse_with_helpers, show};

/// `ours` is printed as it stands, and `theirs` mean the same.
#[track_caller]
fn same(ours: &str, theirs: &[&str]) {
    let program = parse(ours).expect("parses");
    assert_eq!(program.to_string().trim(), ours);
    for text in theirs {
        assert_eq!(parse(text).as_ref(), Ok(&program), "{text}");
    }
}

#[test]
fn arithmetic() {
    same("r1 += 4", &["r1 += 0x4", "r1+=4", "12: (07) r1 += 4", "0: 07 01 00 00 04 00 00 00 r1 += 0x4"]);
    same("w1 s/= w2", &[]);
    same("r1 s>>= 63", &["r1 s>>= 0x3f"]);
    same("w1 = -1", &["w1 = 0xffffffff"]);
    same("r1 = -r1", &[]);
    same("r1 = (s16)r2", &[]);
    same("r1 = be16 r1", &["w1 = be16 w1"]);
    same("r1 = bswap64 r1", &[]);
    same("r1 = addr_space_cast(r2, 0, 1)", &["r1 = addr_space_cast(r2, 0x0, 0x1)"]);
}

#[test]
fn memory() {
    same("*(u64 *)(r10 - 8) = r1", &["*(u64 *)(r10 -8) = r1", "*(u64 *)(r10 - 0x8) = r1"]);
    same("*(u32 *)(r1 + 0) = 5", &["*(u32 *)(r1 +0) = 5", "*(u32 *)(r1) = 0x5"]);
    same("r0 = *(u32 *)(r1 + 16)", &["w0 = *(u32 *)(r1 + 0x10)", "3: (61) r0 = *(u32 *)(r1 +16)"]);
    same("r0 = *(s8 *)(r1 + 16)", &["r0 = *(s8 *)(r1 +16)"]);
    same("r0 = *(u8 *)skb[12]", &["r0 = *(u8 *)skb[0xc]"]);
    same("r0 = *(u16 *)skb[r7 + 0]", &["r0 = *(u16 *)skb[r7]"]);
    same("r0 = load_acquire((u64 *)(r1 + 0))", &["r0 = load_acquire((u64 *)(r1 +0))"]);
    same("store_release((u8 *)(r1 - 1), r2)", &["store_release((u8 *)(r1 -1), w2)"]);
}

#[test]
fn atomics() {
    same("lock *(u64 *)(r1 + 0) += r2", &["lock *(u64 *)(r1 +0) += r2"]);
    same("r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)", &["r2 = atomic_fetch_add((u64 *)(r1 + 0x0), r2)"]);
    same("r2 = atomic_xchg((u32 *)(r1 + 4), r2)", &["w2 = xchg32_32(r1 + 0x4, w2)"]);
    same("r2 = atomic64_xchg((u64 *)(r1 - 8), r2)", &["r2 = xchg_64(r1 - 0x8, r2)"]);
    same("r0 = atomic64_cmpxchg((u64 *)(r1 + 0), r0, r2)", &["r0 = cmpxchg_64(r1 + 0x0, r0, r2)"]);
    same("r0 = atomic_cmpxchg((u32 *)(r1 + 0), r0, r2)", &["w0 = cmpxchg32_32(r1 + 0x0, w0, w2)"]);
}

#[test]
fn wide_loads() {
    same("r1 = 0x1122334455667788 ll", &["r1 = 0x1122334455667788", "r1 = 1234605616436508552 ll"]);
    same("r1 = 0xffffffffffffffff ll", &["r1 = -1 ll"]);
    same("r1 = map[3] ll", &["r1 = map[3]"]);
    same("r1 = map_value[0]+8 ll", &["r1 = map[0][0]+8"]);
    same("r1 = btf_var(7, 0) ll", &[]);
}

#[test]
fn jumps_and_calls() {
    let loops = "L1:\n    if w1 s> 5 goto L2\n    r1 += 1\n    goto L1\nL2:\n    exit";
    same(
        loops,
        &[
            "if w1 s> 5 goto +2\nr1 += 1\ngoto -3\nexit",
            "0: (66) if w1 s> 0x5 goto pc+2\n1: (07) r1 += 1\n2: (05) goto pc-3\n3: (95) exit",
            "0:\t66 01 02 00 05 00 00 00\tif w1 s> 0x5 goto +0x2 <LBB0_2>\nr1 += 1\ngotol -0x3 <LBB0_1>\nexit",
            "top: if w1 s> 5 goto end\nr1 += 1\ngoto top\nend: exit",
        ],
    );
    same("call F1\n    exit\nF1:\n    exit", &["call pc+1\nexit\nexit", "call sub\nexit\nsub: exit"]);
    same("r2 = subprog[F1] ll\n    exit\nF1:\n    exit", &["r2 = subprog[+2]\nexit\nexit"]);
    same("call 14", &["call 0xe", "call bpf_get_current_pid_tgid#14", "call get_current_pid_tgid#14"]);
    same("call kfunc(123, 1)", &[]);
    same("may_goto L1\nL1:\n    exit", &["may_goto +0\nexit"]);
    same("if r1 & 1 goto L1\nL1:\n    exit", &[]);
}

#[test]
fn comments_and_empty_lines() {
    same("exit", &["\n  # hash\n; semicolon\n// slashes\nexit // here\n", "exit # 1", "exit;"]);
    assert_eq!(parse("").map(|p| p.insns.len()), Ok(0));
}

#[test]
fn helpers_by_name() {
    let by_name = |name: &str| (name == "get_current_pid_tgid").then_some(14);
    let program = parse("call 14").expect("parses");
    for text in ["call get_current_pid_tgid", "call bpf_get_current_pid_tgid"] {
        assert_eq!(parse_with_helpers(text, &by_name).as_ref(), Ok(&program));
    }
}

#[test]
fn printing_with_names_notes_and_distances() {
    let program = parse("r1 = 1 ll\nif r1 == 0 goto end\ncall 14\nend: exit").expect("parses");
    let text = DisplayWith {
        program: &program,
        jumps: Jumps::Relative,
        helper: &|id| (id == 14).then_some("get_current_pid_tgid"),
        note: &|at| (at == InsnIdx(2)).then(|| "pid".to_string()),
    }
    .to_string();
    assert_eq!(
        text.lines().map(str::trim).collect::<Vec<_>>(),
        ["r1 = 0x1 ll", "if r1 == 0 goto +1", "; pid", "call bpf_get_current_pid_tgid#14", "exit"]
    );
    assert_eq!(parse(&text).as_ref(), Ok(&program));
    assert_eq!(show(&program, InsnIdx(1)), "if r1 == 0 goto +1");
}

#[test]
fn mistakes_are_located() {
    #[track_caller]
    fn wrong(text: &str, error: &str) {
        assert_eq!(parse(text).expect_err("is wrong").to_string(), error);
    }
    wrong("exit\nr1 += w2", "2:7: both registers must be of the same width: both `r` or both `w`");
    wrong("r11 = 1", "1:1: unknown instruction `r11`");
    wrong("r1 = r11", "1:6: expected a value, not `r11`");
    wrong("r1 = be17 r1", "1:6: expected a value, not `be17`");
    wrong("r1 += 4294967296", "1:7: 4294967296 does not fit into 32 bits; load it into a register with `ll`");
    wrong("goto nowhere", "1:6: there is no label `nowhere`");
    wrong("call nobody", "1:6: no label and no helper is called `nobody`");
    wrong("goto +1\nexit", "1:6: no instruction begins at distance +1");
    wrong("goto +1\nr1 = 5 ll\nexit", "1:6: no instruction begins at distance +1");
    wrong("a: exit\na: exit", "2:2: label `a` is defined twice");
    wrong("goto a\na:", "1:6: no instruction follows the label `a`");
    wrong("exit now", "1:6: expected the end of the line");
    wrong("*(u64 *)(r1 + 40000) = r1", "1:13: 40000 is out of range for an offset of 16 bits");
    wrong("lock *(u8 *)(r1 + 0) += r2", "1:22: atomic operations are on `u32` or `u64`");
    wrong("r1 = ä", "1:6: unexpected character 'ä'");
    wrong("r1 =", "1:5: expected a value");
    wrong(
        "r2 = atomic_xchg((u32 *)(r1 + 4), r3)",
        "1:35: the old value comes back in the operand's register",
    );
}

/// `kernel.log` is what the verifier of Linux 6.18 printed when it first came to each instruction of `kernel.s`.
#[test]
fn the_log_of_a_kernel_reads_back() {
    let program = parse(include_str!("kernel.s")).expect("parses");
    assert_eq!(parse(include_str!("kernel.log")), Ok(program));
}
