//! The text form of the IR. [`parse`](super::parse::parse) reads it back.
//!
//! ```text
//! fn kprobe:vfs_read(v0: ptr) {
//!     ss0: 16
//! b0(v0):
//!     v1 = load.u64 v0+112
//!     v2 = iconst 42
//!     br.eq v1, v2, b1(v1), b2
//! b1(v3: i64):
//!     ret v3
//! b2 cold:
//!     ret v2
//! }
//! ```
//!
//! A source position other than 0 is a trailing `@12`, printed by [`with_locs`] only.

use super::function::{Function, Module};
use super::inst::{BinOp, BlockCall, Cond, InstData, Terminator, Type, UnOp};
use super::{Block, Value};
use ebpf_asm::{AtomicOp, Size, SrcLoc};
use std::fmt::{self, Display, Formatter, Write as _};

/// Text with source positions.
pub fn with_locs(f: &Function) -> String {
    let mut out = String::new();
    write_function(&mut out, f, true).expect("writing to a string succeeds");
    out
}

impl Display for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_function(f, self, false)
    }
}

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, function) in self.functions.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{function}")?;
        }
        Ok(())
    }
}

fn write_function(out: &mut dyn fmt::Write, f: &Function, locs: bool) -> fmt::Result {
    write!(out, "fn {}(", Name(&f.name))?;
    write_params(out, f, f.entry())?;
    writeln!(out, ") {{")?;
    for (slot, data) in f.slots.entries() {
        writeln!(out, "    {slot}: {}", data.size)?;
    }
    for (block, data) in f.blocks.entries() {
        write!(out, "{block}")?;
        if !data.params.is_empty() {
            write!(out, "(")?;
            if block == f.entry() {
                write!(out, "{}", List(&data.params))?;
            } else {
                write_params(out, f, block)?;
            }
            write!(out, ")")?;
        }
        writeln!(out, "{}:", if data.cold { " cold" } else { "" })?;
        for &inst in &data.insts {
            let node = &f.insts[inst];
            write!(out, "    ")?;
            if let Some(result) = node.result {
                write!(out, "{result} = ")?;
            }
            write!(out, "{}", node.data)?;
            write_loc(out, node.loc, locs)?;
        }
        write!(out, "    {}", data.term)?;
        write_loc(out, data.term_loc, locs)?;
    }
    writeln!(out, "}}")
}

fn write_loc(out: &mut dyn fmt::Write, loc: SrcLoc, locs: bool) -> fmt::Result {
    if locs && loc.0 != 0 {
        write!(out, " @{}", loc.0)?;
    }
    writeln!(out)
}

fn write_params(out: &mut dyn fmt::Write, f: &Function, block: Block) -> fmt::Result {
    for (i, &param) in f.blocks[block].params.iter().enumerate() {
        write!(out, "{}{param}: {}", if i > 0 { ", " } else { "" }, f.values[param].ty)?;
    }
    Ok(())
}

/// A function's name: bare if it looks like a probe, else quoted.
struct Name<'a>(&'a str);

/// Whether a character may stand in a bare name.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_:.*$/@+-".contains(c)
}

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(is_name_char) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

struct List<'a>(&'a [Value]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// `v0`, `v0+8`, `v0-8`
struct Address(Value, i64);

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.1 {
            0 => write!(f, "{}", self.0),
            off => write!(f, "{}{off:+}", self.0),
        }
    }
}

fn bits(size: Size) -> u32 {
    size.bytes() * 8
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::I64 => "i64",
            Type::Ptr => "ptr",
        })
    }
}

impl BinOp {
    /// Every operation, with its name in text.
    pub const ALL: [(BinOp, &'static str); 13] = [
        (BinOp::Add, "add"),
        (BinOp::Sub, "sub"),
        (BinOp::Mul, "mul"),
        (BinOp::Udiv, "udiv"),
        (BinOp::Sdiv, "sdiv"),
        (BinOp::Umod, "umod"),
        (BinOp::Smod, "smod"),
        (BinOp::And, "and"),
        (BinOp::Or, "or"),
        (BinOp::Xor, "xor"),
        (BinOp::Shl, "shl"),
        (BinOp::Lshr, "lshr"),
        (BinOp::Ashr, "ashr"),
    ];
}

impl Cond {
    /// Every condition, with its name in text.
    pub const ALL: [(Cond, &'static str); 10] = [
        (Cond::Eq, "eq"),
        (Cond::Ne, "ne"),
        (Cond::Ult, "ult"),
        (Cond::Ule, "ule"),
        (Cond::Ugt, "ugt"),
        (Cond::Uge, "uge"),
        (Cond::Slt, "slt"),
        (Cond::Sle, "sle"),
        (Cond::Sgt, "sgt"),
        (Cond::Sge, "sge"),
    ];
}

/// Atomic operations of the IR, with their names in text.
pub(super) const ATOMICS: [(AtomicOp, &str); 5] = [
    (AtomicOp::Add, "add"),
    (AtomicOp::Or, "or"),
    (AtomicOp::And, "and"),
    (AtomicOp::Xor, "xor"),
    (AtomicOp::Xchg, "xchg"),
];

fn name_of<T: PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|(t, _)| *t == item).map_or("?", |(_, name)| name)
}

impl Display for BinOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::ALL, *self))
    }
}

impl Display for Cond {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::ALL, *self))
    }
}

impl Display for BlockCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.args.as_slice() {
            [] => write!(f, "{}", self.block),
            args => write!(f, "{}({})", self.block, List(args)),
        }
    }
}

impl Display for InstData {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            InstData::Iconst(n) => write!(f, "iconst {n}"),
            InstData::Binary(op, a, b) => write!(f, "{op} {a}, {b}"),
            InstData::Unary(UnOp::Neg, a) => write!(f, "neg {a}"),
            InstData::Unary(UnOp::Not, a) => write!(f, "not {a}"),
            InstData::Unary(UnOp::Zext(size), a) => write!(f, "zext.{} {a}", bits(*size)),
            InstData::Unary(UnOp::Sext(size), a) => write!(f, "sext.{} {a}", bits(*size)),
            InstData::Unary(UnOp::Bswap(size), a) => write!(f, "bswap.{} {a}", bits(*size)),
            InstData::Icmp(cond, a, b) => write!(f, "icmp.{cond} {a}, {b}"),
            InstData::Select(c, a, b) => write!(f, "select {c}, {a}, {b}"),
            InstData::PtrAdd(p, n) => write!(f, "ptr_add {p}, {n}"),
            InstData::PtrOff(p, off) => write!(f, "ptr_off {p}, {off}"),
            InstData::Load { size, sext, ptr, off } => {
                let sign = if *sext { 's' } else { 'u' };
                write!(f, "load.{sign}{} {}", bits(*size), Address(*ptr, i64::from(*off)))
            }
            InstData::LoadPtr { ptr, off } => write!(f, "load_ptr {}", Address(*ptr, i64::from(*off))),
            InstData::Store { size, value, ptr, off } => {
                write!(f, "store.{} {value}, {}", bits(*size), Address(*ptr, i64::from(*off)))
            }
            InstData::Atomic { op, size, fetch, value, ptr, off } => {
                let fetch = if *fetch { ".fetch" } else { "" };
                let op = name_of(&ATOMICS, *op);
                write!(f, "atomic.{op}.{}{fetch} {value}, {}", bits(*size), Address(*ptr, i64::from(*off)))
            }
            InstData::MemZero { ptr, off, len } => {
                write!(f, "mem_zero {}, {len}", Address(*ptr, i64::from(*off)))
            }
            InstData::MemCopy { dst, dst_off, src, src_off, len, align } => {
                let (dst, src) = (Address(*dst, i64::from(*dst_off)), Address(*src, i64::from(*src_off)));
                write!(f, "mem_copy {dst}, {src}, {len}, align {align}")
            }
            InstData::SlotAddr(slot, 0) => write!(f, "slot_addr {slot}"),
            InstData::SlotAddr(slot, off) => write!(f, "slot_addr {slot}+{off}"),
            InstData::MapAddr(map) => write!(f, "map m{}", map.0),
            InstData::MapValueAddr(map, 0) => write!(f, "map_value m{}", map.0),
            InstData::MapValueAddr(map, off) => write!(f, "map_value m{}+{off}", map.0),
            InstData::FuncAddr(func) => write!(f, "func_addr {func}"),
            InstData::BtfVarAddr(id) => write!(f, "btf_var {id}"),
            InstData::CallHelper(id, args) => match bpf_facts::helper(*id) {
                Some(def) => write!(f, "call {}({})", def.name, List(args)),
                None => write!(f, "call #{}({})", id.0, List(args)),
            },
            InstData::CallFunc(func, args) => write!(f, "call_fn {func}({})", List(args)),
            InstData::CallKfunc { btf_id, args, ptr } => {
                write!(f, "call_kfunc{} {btf_id}({})", if *ptr { ".ptr" } else { "" }, List(args))
            }
        }
    }
}

impl Display for Terminator {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Terminator::Jump(to) => write!(f, "jump {to}"),
            Terminator::Branch { cond, lhs, rhs, then, els } => {
                write!(f, "br.{cond} {lhs}, {rhs}, {then}, {els}")
            }
            Terminator::Return(v) => write!(f, "ret {v}"),
            Terminator::None => write!(f, "none"),
        }
    }
}
