//! The registers of the traced code, as kprobes, uprobes and perf events find them in `struct pt_regs`.

use crate::contexts::Arch;

/// A register's names, the usual one first, and its offset in bytes.
type Row = (&'static [&'static str], u32);

#[rustfmt::skip]
static X86_64: &[Row] = &[
    (&["r15"], 0), (&["r14"], 8), (&["r13"], 16), (&["r12"], 24),
    (&["bp", "rbp"], 32), (&["bx", "rbx"], 40),
    (&["r11"], 48), (&["r10"], 56), (&["r9"], 64), (&["r8"], 72),
    (&["ax", "rax"], 80), (&["cx", "rcx"], 88), (&["dx", "rdx"], 96), (&["si", "rsi"], 104), (&["di", "rdi"], 112),
    (&["orig_ax", "orig_rax"], 120), (&["ip", "rip"], 128), (&["cs"], 136), (&["flags", "eflags"], 144),
    (&["sp", "rsp"], 152), (&["ss"], 160),
];

#[rustfmt::skip]
static AARCH64: &[Row] = &[
    (&["r0", "x0"], 0), (&["r1", "x1"], 8), (&["r2", "x2"], 16), (&["r3", "x3"], 24),
    (&["r4", "x4"], 32), (&["r5", "x5"], 40), (&["r6", "x6"], 48), (&["r7", "x7"], 56),
    (&["r8", "x8"], 64), (&["r9", "x9"], 72), (&["r10", "x10"], 80), (&["r11", "x11"], 88),
    (&["r12", "x12"], 96), (&["r13", "x13"], 104), (&["r14", "x14"], 112), (&["r15", "x15"], 120),
    (&["r16", "x16"], 128), (&["r17", "x17"], 136), (&["r18", "x18"], 144), (&["r19", "x19"], 152),
    (&["r20", "x20"], 160), (&["r21", "x21"], 168), (&["r22", "x22"], 176), (&["r23", "x23"], 184),
    (&["r24", "x24"], 192), (&["r25", "x25"], 200), (&["r26", "x26"], 208), (&["r27", "x27"], 216),
    (&["r28", "x28"], 224), (&["r29", "x29", "fp"], 232), (&["r30", "x30", "lr"], 240),
    (&["sp"], 248), (&["pc"], 256), (&["pstate"], 264),
];

/// How code of an architecture calls functions. Offsets are in `struct pt_regs`.
#[derive(Clone, Copy, Debug)]
pub struct CallConvention {
    /// Integer arguments in registers, in order (`arg0`…).
    pub args: &'static [u32],
    /// Arguments of a system call, in order.
    pub syscall_args: &'static [u32],
    /// The result.
    pub ret: u32,
    /// The stack pointer.
    pub sp: u32,
    /// The instruction pointer.
    pub ip: u32,
    /// The frame pointer.
    pub fp: u32,
    /// At a function's entry, from the stack pointer to the first argument that is on the stack (`sarg0`).
    pub stack_args: u32,
}

static X86_64_CALLS: CallConvention = CallConvention {
    args: &[112, 104, 96, 88, 72, 64],
    syscall_args: &[112, 104, 96, 56, 72, 64],
    ret: 80,
    sp: 152,
    ip: 128,
    fp: 32,
    stack_args: 8,
};

static AARCH64_CALLS: CallConvention = CallConvention {
    args: &[0, 8, 16, 24, 32, 40, 48, 56],
    syscall_args: &[0, 8, 16, 24, 32, 40],
    ret: 0,
    sp: 248,
    ip: 256,
    fp: 232,
    stack_args: 0,
};

const fn rows(arch: Arch) -> &'static [Row] {
    match arch {
        Arch::X86_64 => X86_64,
        Arch::Aarch64 => AARCH64,
    }
}

/// Offset in `struct pt_regs` of a register by the name that `reg("…")` takes (`ax`, `di`, `sp`…).
pub fn pt_regs(arch: Arch, name: &str) -> Option<u32> {
    rows(arch).iter().find(|(names, _)| names.contains(&name)).map(|(_, off)| *off)
}

/// The usual names of the registers, in order of their offset.
pub fn pt_regs_names(arch: Arch) -> impl Iterator<Item = &'static str> {
    rows(arch).iter().filter_map(|(names, _)| names.first().copied())
}

/// How functions are called on `arch`.
pub const fn call_convention(arch: Arch) -> &'static CallConvention {
    match arch {
        Arch::X86_64 => &X86_64_CALLS,
        Arch::Aarch64 => &AARCH64_CALLS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contexts::ctx_layout;
    use crate::progs::ProgType;
    use std::collections::HashSet;

    #[test]
    fn registers_fill_the_structure_from_its_start() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let mut names = HashSet::new();
            for ((list, off), word) in rows(arch).iter().zip(0..) {
                assert_eq!(*off, word * 8, "{list:?}");
                assert!(list.iter().all(|name| names.insert(*name)), "{list:?}");
            }
            let size = ctx_layout(ProgType::Kprobe, arch).map(|layout| layout.size as usize);
            assert_eq!(size, Some(rows(arch).len() * 8));
        }
    }

    #[test]
    fn arguments_by_name() {
        let named = |arch, names: &[&str]| -> Vec<_> {
            names.iter().map(|name| pt_regs(arch, name).expect("a register")).collect()
        };
        let x86 = call_convention(Arch::X86_64);
        assert_eq!(x86.args, named(Arch::X86_64, &["di", "si", "dx", "cx", "r8", "r9"]));
        assert_eq!(x86.syscall_args, named(Arch::X86_64, &["di", "si", "dx", "r10", "r8", "r9"]));
        assert_eq!([x86.ret, x86.sp, x86.ip, x86.fp], *named(Arch::X86_64, &["ax", "sp", "ip", "bp"]));
        let arm = call_convention(Arch::Aarch64);
        assert_eq!([arm.ret, arm.sp, arm.ip, arm.fp], *named(Arch::Aarch64, &["r0", "sp", "pc", "fp"]));
        assert_eq!(pt_regs(Arch::X86_64, "xyz"), None);
    }
}
