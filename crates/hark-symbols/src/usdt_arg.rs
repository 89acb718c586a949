//! Where a static probe's arguments are: `-4@%edi 8@-16(%rbp) -4@$7`.
//!
//! An argument is `SIZE@OPERAND`: a size in bytes, negative for signed numbers, `f` after it for floating point; and
//! an operand in the assembler's syntax of the machine.

use crate::elf::Machine;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtArg {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Whether the number has a sign.
    pub signed: bool,
    /// Whether it is a floating point number.
    pub float: bool,
    /// Where it is.
    pub at: Location,
}

/// Where an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// It is this number.
    Const(i64),
    /// It is in a register.
    Reg(Register),
    /// It is in memory at `base + index * scale + disp`.
    Mem {
        /// Register that holds an address.
        base: Register,
        /// Register added to it, times 1, 2, 4 or 8.
        index: Option<(Register, u8)>,
        /// Bytes added to it.
        disp: i64,
    },
    /// It is in memory at a symbol (`counter+8(%rip)`).
    Symbol {
        /// Symbol of the same file.
        name: String,
        /// Bytes added to its address.
        disp: i64,
    },
}

/// Part of a register, by the name it has in the kernel's `struct pt_regs` (`ax`, `r8`, `x0`, `sp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// The whole register.
    pub name: &'static str,
    /// First bit used: 8 for `%ah` and its like, else 0.
    pub shift: u8,
    /// Bits used.
    pub bits: u8,
}

/// Why an argument cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("usdt argument `{arg}`: {why}")]
pub struct ArgError {
    /// The argument as the note has it.
    pub arg: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Reads the arguments of a probe, as [`crate::UsdtProbe::args`] has them.
///
/// # Errors
/// [`ArgError`] names the first argument that is not understood, or lies in a register that the kernel does not save
/// for probes (floating point).
pub fn parse_args(machine: Machine, text: &str) -> Result<Vec<UsdtArg>, ArgError> {
    parse_each_arg(machine, text).into_iter().collect()
}

/// As [`parse_args`], with a verdict for each argument: those that are not understood do not take the others away.
pub fn parse_each_arg(machine: Machine, text: &str) -> Vec<Result<UsdtArg, ArgError>> {
    split(text)
        .into_iter()
        .map(|arg| parse_arg(machine, arg).map_err(|why| ArgError { arg: arg.to_owned(), why }))
        .collect()
}

/// Splits at spaces outside brackets: arm64 writes `8@[sp, 16]`.
fn split(text: &str) -> Vec<&str> {
    let mut args = Vec::new();
    let (mut start, mut depth) = (0, 0u32);
    for (i, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            // A new argument also begins inside a bracket that was never closed.
            ' ' if depth == 0 => {
                args.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    args.push(&text[start..]);
    args.retain(|a| !a.is_empty());
    args
}

fn parse_arg(machine: Machine, arg: &str) -> Result<UsdtArg, &'static str> {
    let (size, operand) = arg.split_once('@').ok_or("it has no `@`")?;
    let (size, float) = size.strip_suffix('f').map_or((size, false), |s| (s, true));
    let (digits, signed) = size.strip_prefix('-').map_or((size, false), |s| (s, true));
    let size = match digits {
        "1" => 1,
        "2" => 2,
        "4" => 4,
        "8" => 8,
        _ => return Err("its size is none of 1, 2, 4, 8"),
    };
    let at = match machine {
        Machine::X86_64 => x86_operand(operand),
        Machine::Aarch64 => arm_operand(operand),
        Machine::Other(_) => Err("operands of this processor are not known"),
    }?;
    Ok(UsdtArg { size, signed, float, at })
}

fn number(text: &str) -> Option<i64> {
    let (digits, negative) = text.strip_prefix('-').map_or((text, false), |t| (t, true));
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.starts_with('+') => return None,
        None => digits.parse().ok()?,
    };
    // `$18446744073709551615` is how some assemblers write -1.
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}

/// `name`, `name+8` or `name-8`.
fn symbol(text: &str) -> Option<Location> {
    let at = text.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(text.len(), |(i, _)| i);
    let (name, disp) = text.split_at(at);
    let starts_well = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '.'));
    let disp = if disp.is_empty() { 0 } else { number(disp.strip_prefix('+').unwrap_or(disp))? };
    starts_well.then(|| Location::Symbol { name: name.to_owned(), disp })
}

fn x86_operand(text: &str) -> Result<Location, &'static str> {
    const WRONG: &str = "its operand is not understood";
    if let Some(imm) = text.strip_prefix('$') {
        return number(imm).map(Location::Const).ok_or("its number is not understood");
    }
    if text.starts_with('%') {
        return x86_register(text).map(Location::Reg);
    }
    let Some((disp, rest)) = text.split_once('(') else {
        // An absolute address: no base register.
        return symbol(text).ok_or(WRONG);
    };
    let inside = rest.strip_suffix(')').ok_or(WRONG)?;
    let mut parts = inside.split(',').map(str::trim);
    let base = parts.next().unwrap_or("");
    if base == "%rip" {
        return symbol(disp).ok_or("an address relative to %rip without a symbol cannot be told");
    }
    let disp = if disp.is_empty() { 0 } else { number(disp).ok_or(WRONG)? };
    let index = match (parts.next(), parts.next()) {
        (None, _) => None,
        (Some(index), scale) => {
            let scale = match scale {
                None | Some("1") => 1,
                Some("2") => 2,
                Some("4") => 4,
                Some("8") => 8,
                Some(_) => return Err(WRONG),
            };
            Some((x86_register(index)?, scale))
        }
    };
    if parts.next().is_some() {
        return Err(WRONG);
    }
    Ok(Location::Mem { base: x86_register(base)?, index, disp })
}

/// Registers of x86-64: the name in `pt_regs`, then as 64, 32, 16 and 8 bits.
#[rustfmt::skip]
const X86: [(&str, [&str; 4]); 17] = [
    ("ax",  ["rax", "eax",  "ax",   "al"]),
    ("bx",  ["rbx", "ebx",  "bx",   "bl"]),
    ("cx",  ["rcx", "ecx",  "cx",   "cl"]),
    ("dx",  ["rdx", "edx",  "dx",   "dl"]),
    ("si",  ["rsi", "esi",  "si",   "sil"]),
    ("di",  ["rdi", "edi",  "di",   "dil"]),
    ("bp",  ["rbp", "ebp",  "bp",   "bpl"]),
    ("sp",  ["rsp", "esp",  "sp",   "spl"]),
    ("r8",  ["r8",  "r8d",  "r8w",  "r8b"]),
    ("r9",  ["r9",  "r9d",  "r9w",  "r9b"]),
    ("r10", ["r10", "r10d", "r10w", "r10b"]),
    ("r11", ["r11", "r11d", "r11w", "r11b"]),
    ("r12", ["r12", "r12d", "r12w", "r12b"]),
    ("r13", ["r13", "r13d", "r13w", "r13b"]),
    ("r14", ["r14", "r14d", "r14w", "r14b"]),
    ("r15", ["r15", "r15d", "r15w", "r15b"]),
    ("ip",  ["rip", "eip",  "ip",   "rip"]),
];

fn x86_register(text: &str) -> Result<Register, &'static str> {
    let name = text.strip_prefix('%').ok_or("a register was expected")?;
    for (whole, spellings) in X86 {
        if let Some(i) = spellings.iter().position(|s| *s == name) {
            return Ok(Register { name: whole, shift: 0, bits: 64 >> i });
        }
    }
    let high = |name| Ok(Register { name, shift: 8, bits: 8 });
    match name {
        "ah" => high("ax"),
        "bh" => high("bx"),
        "ch" => high("cx"),
        "dh" => high("dx"),
        _ if name.starts_with("xmm") || name.starts_with("ymm") || name.starts_with("st") => {
            Err("floating point registers are not saved for probes")
        }
        _ => Err("no such register"),
    }
}

fn arm_operand(text: &str) -> Result<Location, &'static str> {
    const WRONG: &str = "its operand is not understood";
    let Some(inside) = text.strip_prefix('[') else {
        let imm = text.strip_prefix('#').unwrap_or(text);
        return number(imm).map(Location::Const).map_or_else(|| arm_register(text).map(Location::Reg), Ok);
    };
    let inside = inside.strip_suffix(']').ok_or(WRONG)?;
    let mut parts = inside.split(',').map(str::trim);
    let base = arm_register(parts.next().unwrap_or(""))?;
    let mut found = Location::Mem { base, index: None, disp: 0 };
    if let (Location::Mem { index, disp, .. }, Some(second)) = (&mut found, parts.next()) {
        match number(second.strip_prefix('#').unwrap_or(second)) {
            Some(n) => *disp = n,
            None => {
                let scale = match parts.next().map(|s| s.replace('#', "")).as_deref() {
                    None | Some("lsl 0") => 1,
                    Some("lsl 1") => 2,
                    Some("lsl 2") => 4,
                    Some("lsl 3") => 8,
                    Some(_) => return Err(WRONG),
                };
                *index = Some((arm_register(second)?, scale));
            }
        }
    }
    if parts.next().is_some() { Err(WRONG) } else { Ok(found) }
}

#[rustfmt::skip]
const ARM: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16",
    "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
];

fn arm_register(text: &str) -> Result<Register, &'static str> {
    let whole = |name, bits| Ok(Register { name, shift: 0, bits });
    match text {
        "sp" => return whole("sp", 64),
        "wsp" => return whole("sp", 32),
        _ => {}
    }
    let (digits, bits) = match (text.strip_prefix('x'), text.strip_prefix('w')) {
        (Some(n), _) => (n, 64),
        (_, Some(n)) => (n, 32),
        _ if text.starts_with(['v', 'q', 'd', 's']) => {
            return Err("floating point registers are not saved for probes");
        }
        _ => return Err("no such register"),
    };
    let n = digits.parse::<usize>().map_err(|_| "no such register")?;
    ARM.get(n).map_or(Err("no such register"), |name| whole(name, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reg(name: &'static str, bits: u8) -> Register {
        Register { name, shift: 0, bits }
    }

    fn x86(text: &str) -> Location {
        parse_args(Machine::X86_64, &format!("8@{text}")).expect(text).remove(0).at
    }

    #[test]
    fn reads_sizes_and_signs() {
        let args = parse_args(Machine::X86_64, "-4@%edi 8@-16(%rbp) 1@$7 8f@(%rax)").expect("four arguments");
        let sizes: Vec<_> = args.iter().map(|a| (a.size, a.signed, a.float)).collect();
        assert_eq!(sizes, [(4, true, false), (8, false, false), (1, false, false), (8, false, true)]);
        assert_eq!(parse_args(Machine::X86_64, ""), Ok(vec![]));
    }

    #[test]
    fn reads_every_operand_of_x86() {
        let mem = |base, index, disp| Location::Mem { base: reg(base, 64), index, disp };
        assert_eq!(x86("$-5"), Location::Const(-5));
        assert_eq!(x86("$0x10"), Location::Const(16));
        assert_eq!(x86("$18446744073709551615"), Location::Const(-1));
        assert_eq!(x86("%r10w"), Location::Reg(reg("r10", 16)));
        assert_eq!(x86("%ah"), Location::Reg(Register { name: "ax", shift: 8, bits: 8 }));
        assert_eq!(x86("(%rsp)"), mem("sp", None, 0));
        assert_eq!(x86("-1204(%rbp)"), mem("bp", None, -1204));
        assert_eq!(x86("8(%rax,%rdx,4)"), mem("ax", Some((reg("dx", 64), 4)), 8));
        assert_eq!(x86("(%rax,%rdx)"), mem("ax", Some((reg("dx", 64), 1)), 0));
        assert_eq!(x86("counter+8(%rip)"), Location::Symbol { name: "counter".into(), disp: 8 });
    }

    #[test]
    fn reads_every_operand_of_arm() {
        let args = "-4@w0 8@x30 8@[sp, 16] 8@[x1] 4@-7 8@[x0, x2, lsl 3] 8@[sp,-8]";
        let found: Vec<_> =
            parse_args(Machine::Aarch64, args).expect(args).into_iter().map(|a| a.at).collect();
        let mem = |base, index, disp| Location::Mem { base: reg(base, 64), index, disp };
        let expected = [
            Location::Reg(reg("x0", 32)),
            Location::Reg(reg("x30", 64)),
            mem("sp", None, 16),
            mem("x1", None, 0),
            Location::Const(-7),
            mem("x0", Some((reg("x2", 64), 8)), 0),
            mem("sp", None, -8),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn says_what_it_does_not_understand() {
        let why = |text| parse_args(Machine::X86_64, text).expect_err(text).to_string();
        assert_eq!(
            why("8@%xmm0"),
            "usdt argument `8@%xmm0`: floating point registers are not saved for probes"
        );
        assert_eq!(why("3@%rax"), "usdt argument `3@%rax`: its size is none of 1, 2, 4, 8");
        assert_eq!(why("%rax"), "usdt argument `%rax`: it has no `@`");
        for text in ["8@8(%rax", "8@(%rax,%rbx,3)", "8@", "8@$", "8@(%rax,%rbx,1,2)"] {
            assert!(parse_args(Machine::X86_64, text).is_err(), "{text}");
        }
    }
}
