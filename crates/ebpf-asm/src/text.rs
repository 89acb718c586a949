//! From text to instructions: the assembly dialect that the kernel's verifier log and LLVM print.
//!
//! One instruction a line, by recursive descent over the tokens of the line. Accepted beside the instruction: labels
//! (`name:`), slot numbers and bytes in front of it as disassemblers print them (`12: (bf)`, `12: bf 16 00 …`), and
//! comments from `;`, `//` or `#` on. Targets are labels or distances in slots (`+3`, `pc+3`).

use crate::insn::{
    AluOp, AtomicOp, Callee, Imm64, Insn, InsnIdx, MapRef, Operand, Program, Reg, Size, Slot, SwapOp, Target,
    Width,
};
use crate::ops::{self, Family, Op};
use cursor::{Cursor, memory_type, register};
use lexer::Tok;
use std::collections::HashMap;
use std::fmt;

mod cursor;
mod lexer;

/// What is wrong with a line of assembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsmError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
    /// What is wrong, with what would be right.
    pub message: String,
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.col, self.message)
    }
}

impl std::error::Error for AsmError {}

/// The program written in `text`. Helpers are called by number: `call 14`, `call bpf_get_current_pid_tgid#14`.
///
/// # Errors
/// The first mistake and where it stands.
pub fn parse(text: &str) -> Result<Program, AsmError> {
    parse_with_helpers(text, &|_| None)
}

/// As [`parse`], with helpers called by name too; `helper` is asked for the number of what is no label.
///
/// # Errors
/// The first mistake and where it stands.
pub fn parse_with_helpers(text: &str, helper: &dyn Fn(&str) -> Option<u32>) -> Result<Program, AsmError> {
    let mut parser = Parser { program: Program::default(), labels: HashMap::new(), fixups: Vec::new() };
    for (line, number) in text.lines().zip(1..) {
        let tokens = lexer::tokens(line).map_err(|(col, message)| AsmError { line: number, col, message })?;
        let end = u32::try_from(line.chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        let mut cursor = Cursor { tokens: &tokens, next: 0, line: number, end };
        parser.line(&mut cursor)?;
    }
    parser.resolve(helper)
}

struct Parser<'t> {
    program: Program,
    labels: HashMap<&'t str, InsnIdx>,
    fixups: Vec<Fixup<'t>>,
}

/// A target to be filled in when all labels are known.
struct Fixup<'t> {
    at: InsnIdx,
    to: TargetRef<'t>,
    line: u32,
    col: u32,
}

#[derive(Clone, Copy)]
enum TargetRef<'t> {
    Label(&'t str),
    /// In slots from the one after the instruction's first.
    Distance(i64),
}

impl<'t> Parser<'t> {
    fn here(&self) -> InsnIdx {
        InsnIdx(u32::try_from(self.program.insns.len()).unwrap_or(u32::MAX))
    }

    fn line(&mut self, c: &mut Cursor<'_, 't>) -> Result<(), AsmError> {
        c.skip_dump_prefix();
        while let Some(label) = c.label() {
            if self.labels.insert(label, self.here()).is_some() {
                return Err(c.error_before(format!("label `{label}` is defined twice")));
            }
        }
        if c.at_end() {
            return Ok(());
        }
        let start = c.col();
        let (insn, target) = statement(c)?;
        if let Some((to, col)) = target {
            self.fixups.push(Fixup { at: self.here(), to, line: c.line, col });
        }
        c.skip_symbol_name();
        if !c.at_end() {
            return Err(c.error("expected the end of the line"));
        }
        if u32::try_from(self.program.insns.len()).is_err() {
            return Err(AsmError { line: c.line, col: start, message: "too many instructions".to_string() });
        }
        self.program.insns.push(insn);
        Ok(())
    }

    fn resolve(mut self, helper: &dyn Fn(&str) -> Option<u32>) -> Result<Program, AsmError> {
        let slots = self.program.slots();
        for fixup in self.fixups {
            let error = |message| AsmError { line: fixup.line, col: fixup.col, message };
            let insn = &mut self.program.insns[fixup.at.0 as usize];
            let to = match fixup.to {
                TargetRef::Label(label) => match self.labels.get(label) {
                    Some(to) if slots.slot_of(*to).is_some_and(|slot| slot.0 < slots.n_slots()) => *to,
                    Some(_) => {
                        return Err(error(format!("no instruction follows the label `{label}`")));
                    }
                    None => match (&insn, helper(label).or_else(|| helper(label.strip_prefix("bpf_")?))) {
                        (Insn::Call(_), Some(id)) => {
                            *insn = Insn::Call(Callee::Helper(id));
                            continue;
                        }
                        (Insn::Call(_), None) => {
                            return Err(error(format!("no label and no helper is called `{label}`")));
                        }
                        _ => return Err(error(format!("there is no label `{label}`"))),
                    },
                },
                TargetRef::Distance(distance) => slots
                    .slot_of(fixup.at)
                    .and_then(|slot| i64::from(slot.0).checked_add(1)?.checked_add(distance))
                    .and_then(|slot| u32::try_from(slot).ok())
                    .and_then(|slot| slots.starting_at(Slot(slot)))
                    .ok_or_else(|| error(format!("no instruction begins at distance {distance:+}")))?,
            };
            if let Some(target) = insn.target_mut() {
                *target = to;
            }
        }
        Ok(self.program)
    }
}

type Parsed<'t> = (Insn, Option<(TargetRef<'t>, u32)>);

/// Stands for a target until it is known.
const NOWHERE: Target = InsnIdx(0);

fn statement<'t>(c: &mut Cursor<'_, 't>) -> Result<Parsed<'t>, AsmError> {
    if c.peek() == Some(Tok::Sym("*")) {
        return Ok((store(c)?, None));
    }
    let Some(Tok::Word(word)) = c.peek() else {
        return Err(c.error("expected an instruction"));
    };
    if register(word).is_some() {
        return assignment(c);
    }
    if word == "lock" {
        c.next += 1;
        return Ok((locked(c)?, None));
    }
    if word == "if" {
        c.next += 1;
        return branch(c);
    }
    if let Some(Op::StoreRelease) = ops::by_mnemonic(Family::Atomic, word).map(|def| def.op) {
        c.next += 1;
        c.sym("(")?;
        let size = c.unsigned_pointer_type()?;
        let (base, off) = c.address()?;
        c.sym(",")?;
        let src = c.any_reg()?;
        c.sym(")")?;
        return Ok((Insn::StoreRelease { size, base, off, src }, None));
    }
    let Some(def) = ops::by_mnemonic(Family::Control, word) else {
        return Err(c.error(format!("unknown instruction `{word}`")));
    };
    c.next += 1;
    match def.op {
        Op::Jump | Op::JumpLong => Ok((Insn::Jump { to: NOWHERE }, Some(c.target()?))),
        Op::MayGoto => Ok((Insn::MayGoto { to: NOWHERE }, Some(c.target()?))),
        Op::CallHelper | Op::CallLocal | Op::CallKfunc => call(c),
        Op::Exit => Ok((Insn::Exit, None)),
        _ => Err(c.error_before(format!("unknown instruction `{word}`"))),
    }
}

fn call<'t>(c: &mut Cursor<'_, 't>) -> Result<Parsed<'t>, AsmError> {
    if let Some(Tok::Num { .. }) = c.peek() {
        return Ok((Insn::Call(Callee::Helper(c.int("a helper's number")?)), None));
    }
    if let (Some(Tok::Word(_)), Some(Tok::Sym("#"))) = (c.peek(), c.peek_at(1)) {
        c.next += 2;
        return Ok((Insn::Call(Callee::Helper(c.int("a helper's number")?)), None));
    }
    if let (Some(Tok::Word("kfunc")), Some(Tok::Sym("("))) = (c.peek(), c.peek_at(1)) {
        c.next += 2;
        let btf_id = c.int("a type id")?;
        let module = if c.eat(Tok::Sym(",")) { c.int("a module's index")? } else { 0 };
        c.sym(")")?;
        return Ok((Insn::Call(Callee::Kfunc { btf_id, module }), None));
    }
    Ok((Insn::Call(Callee::Local(NOWHERE)), Some(c.target()?)))
}

fn branch<'t>(c: &mut Cursor<'_, 't>) -> Result<Parsed<'t>, AsmError> {
    let (w, lhs) = c.reg()?;
    let found = match c.peek() {
        Some(Tok::Sym(sign)) => ops::by_mnemonic(Family::JumpIf, sign).map(|def| def.op),
        _ => None,
    };
    let Some(Op::JumpIf(cond)) = found else {
        return Err(c.error("expected a comparison: == != > >= < <= s> s>= s< s<= or &"));
    };
    c.next += 1;
    let rhs = c.operand(w)?;
    c.word("goto")?;
    Ok((Insn::JumpIf { w, cond, lhs, rhs, to: NOWHERE }, Some(c.target()?)))
}

/// `*(u64 *)(r1 + 8) = r2`
fn store(c: &mut Cursor<'_, '_>) -> Result<Insn, AsmError> {
    c.sym("*")?;
    let size = c.unsigned_pointer_type()?;
    let (base, off) = c.address()?;
    c.sym("=")?;
    let src = if c.is_number() { Operand::Imm(c.imm()?) } else { Operand::Reg(c.any_reg()?) };
    Ok(Insn::Store { size, base, off, src })
}

/// `*(u64 *)(r1 + 8) += r2` after `lock`.
fn locked(c: &mut Cursor<'_, '_>) -> Result<Insn, AsmError> {
    c.sym("*")?;
    let size = c.unsigned_pointer_type()?;
    let (base, off) = c.address()?;
    let found = match c.peek() {
        Some(Tok::Sym(sign)) => ops::by_mnemonic(Family::Atomic, sign).map(|def| def.op),
        _ => None,
    };
    let Some(Op::Atomic { op, fetch }) = found else {
        return Err(c.error("expected one of += |= &= ^="));
    };
    c.next += 1;
    atomic_size(c, size)?;
    Ok(Insn::Atomic { size, op, fetch, base, off, src: c.any_reg()? })
}

fn atomic_size(c: &Cursor<'_, '_>, size: Size) -> Result<(), AsmError> {
    match size {
        Size::W | Size::Dw => Ok(()),
        Size::B | Size::H => Err(c.error_before("atomic operations are on `u32` or `u64`")),
    }
}

/// A line that begins with a register.
fn assignment<'t>(c: &mut Cursor<'_, 't>) -> Result<Parsed<'t>, AsmError> {
    let (w, dst) = c.reg()?;
    let found = match c.peek() {
        Some(Tok::Sym(sign)) => ops::by_mnemonic(Family::Alu, sign).map(|def| def.op),
        _ => None,
    };
    let Some(Op::Alu(op)) = found else {
        return Err(c.error("expected an assignment, such as `=` or `+=`"));
    };
    c.next += 1;
    if op != AluOp::Mov {
        return Ok((Insn::Alu { w, op, dst, src: c.operand(w)? }, None));
    }
    match c.peek() {
        Some(Tok::Sym("-")) if matches!(c.peek_at(1), Some(Tok::Word(_))) => {
            c.next += 1;
            same(c, w, dst)?;
            Ok((Insn::Neg { w, dst }, None))
        }
        Some(Tok::Sym("(")) => {
            c.next += 1;
            let from = match c.peek() {
                Some(Tok::Word(word)) => memory_type(word),
                _ => None,
            };
            let Some((from, true)) = from else {
                return Err(c.error("expected `s8`, `s16` or `s32`"));
            };
            if from == Size::W && w == Width::W32 {
                return Err(c.error("a 32-bit register has nothing to extend from 32 bits"));
            }
            c.next += 1;
            c.sym(")")?;
            Ok((Insn::MovSx { w, from, dst, src: c.reg_of(w)? }, None))
        }
        Some(Tok::Sym("*")) => Ok((load(c, dst)?, None)),
        Some(Tok::Word(word)) => match register(word) {
            Some(_) => Ok((Insn::Alu { w, op, dst, src: Operand::Reg(c.reg_of(w)?) }, None)),
            None => word_value(c, w, dst, word),
        },
        _ if c.is_number() => Ok((constant(c, w, dst)?, None)),
        _ => Err(c.error("expected a value")),
    }
}

/// The register on the right must be the one on the left.
fn same(c: &mut Cursor<'_, '_>, w: Width, dst: Reg) -> Result<(), AsmError> {
    if c.reg_of(w)? == dst { Ok(()) } else { Err(c.error_before("must be the register on the left")) }
}

/// `5`, `0x1122334455667788 ll`
fn constant(c: &mut Cursor<'_, '_>, w: Width, dst: Reg) -> Result<Insn, AsmError> {
    let start = c.next;
    let value = c.number()?;
    let wide = c.eat(Tok::Word("ll"));
    if w == Width::W64 && (wide || i32::try_from(value).is_err()) {
        let bits = u64::try_from(value).ok().or_else(|| i64::try_from(value).ok().map(i64::cast_unsigned));
        let bits = bits.ok_or_else(|| c.error_before(format!("{value} does not fit into 64 bits")))?;
        return Ok(Insn::LoadImm64 { dst, imm: Imm64::Const(bits) });
    }
    if wide {
        return Err(c.error_before("a 64-bit constant needs a register called `r`"));
    }
    c.next = start;
    Ok(Insn::Alu { w, op: AluOp::Mov, dst, src: Operand::Imm(c.imm()?) })
}

/// `*(u32 *)(r1 + 8)`, `*(u32 *)skb[8]`
fn load(c: &mut Cursor<'_, '_>, dst: Reg) -> Result<Insn, AsmError> {
    c.sym("*")?;
    let (size, sext) = c.pointer_type()?;
    if c.peek() == Some(Tok::Word("skb")) {
        if dst != Reg::R0 || sext || size == Size::Dw {
            return Err(c.error("a packet load is of `u8` to `u32` and into `r0`"));
        }
        c.next += 1;
        c.sym("[")?;
        let index = if c.is_number() { None } else { Some(c.reg_of(Width::W64)?) };
        let imm = if index.is_none() || c.is_number() { c.imm()? } else { 0 };
        c.sym("]")?;
        return Ok(Insn::LoadPacket { size, index, imm });
    }
    let (base, off) = c.address()?;
    Ok(Insn::Load { size, sext, dst, base, off })
}

/// What a word that is no register begins on the right of `=`.
fn word_value<'t>(c: &mut Cursor<'_, 't>, w: Width, dst: Reg, word: &str) -> Result<Parsed<'t>, AsmError> {
    if let Some((op, bits)) = swap(word) {
        c.next += 1;
        c.any_reg().and_then(|src| {
            if src == dst { Ok(()) } else { Err(c.error_before("must be the register on the left")) }
        })?;
        return Ok((Insn::Swap { op, bits, dst }, None));
    }
    if let Some(def) = ops::by_mnemonic(Family::Wide, word) {
        c.next += 1;
        if w == Width::W32 {
            return Err(c.error_before("an address needs a register called `r`"));
        }
        return wide(c, dst, def.op);
    }
    if ops::find(Op::CastAddrSpace).is_some_and(|def| def.mnemonic == word) {
        c.next += 1;
        c.sym("(")?;
        let src = c.reg_of(w)?;
        c.sym(",")?;
        let to = c.int("an address space")?;
        c.sym(",")?;
        let from = c.int("an address space")?;
        c.sym(")")?;
        return Ok((Insn::CastAddrSpace { dst, src, to, from }, None));
    }
    match atomic_word(word) {
        Some((Op::LoadAcquire, _)) => {
            c.next += 1;
            c.sym("(")?;
            let size = c.unsigned_pointer_type()?;
            let (base, off) = c.address()?;
            c.sym(")")?;
            Ok((Insn::LoadAcquire { size, dst, base, off }, None))
        }
        Some((Op::Atomic { op, fetch: true }, size)) => {
            c.next += 1;
            Ok((fetching(c, dst, op, size)?, None))
        }
        _ => Err(c.error(format!("expected a value, not `{word}`"))),
    }
}

/// Map, map value, variable or subprogram, with an optional `ll`.
fn wide<'t>(c: &mut Cursor<'_, 't>, dst: Reg, op: Op) -> Result<Parsed<'t>, AsmError> {
    let mut target = None;
    let imm = match op {
        Op::LoadBtfVar => {
            c.sym("(")?;
            let btf_id = c.int("a type id")?;
            c.sym(",")?;
            let btf_fd = c.int("a descriptor")?;
            c.sym(")")?;
            Imm64::BtfVar { btf_id, btf_fd }
        }
        Op::LoadFunc => {
            c.sym("[")?;
            target = Some(c.target()?);
            c.sym("]")?;
            Imm64::Func(NOWHERE)
        }
        _ => {
            c.sym("[")?;
            let map = MapRef(c.int("a map's index")?);
            c.sym("]")?;
            // The kernel writes the value's address as `map[5][0]+8`.
            let first = c.eat(Tok::Sym("["));
            if first {
                c.int::<u8>("an element")?;
                c.sym("]")?;
            }
            if op == Op::LoadMapValue || first {
                let off = if c.is_number() { c.int("an offset of 32 bits")? } else { 0 };
                Imm64::MapValue(map, off)
            } else {
                Imm64::MapFd(map)
            }
        }
    };
    c.eat(Tok::Word("ll"));
    Ok((Insn::LoadImm64 { dst, imm }, target))
}

/// The operation of `atomic64_fetch_add`, `cmpxchg32_32`…, and the size if the word says it.
fn atomic_word(word: &str) -> Option<(Op, Option<Size>)> {
    let (stem, size) = [("_64", Size::Dw), ("32_32", Size::W)]
        .iter()
        .find_map(|(suffix, size)| Some((word.strip_suffix(suffix)?, Some(*size))))
        .unwrap_or((word, None));
    let stem = stem.strip_prefix("atomic64_").or_else(|| stem.strip_prefix("atomic_")).unwrap_or(stem);
    ops::by_mnemonic(Family::Atomic, stem).map(|def| (def.op, size))
}

/// `((u64 *)(r1 + 8), r2)`, or LLVM's `(r1 + 8, r2)` where the word said the size.
fn fetching(c: &mut Cursor<'_, '_>, dst: Reg, op: AtomicOp, size: Option<Size>) -> Result<Insn, AsmError> {
    c.sym("(")?;
    let (size, (base, off)) = match size {
        Some(size) if c.peek() != Some(Tok::Sym("(")) => (size, c.bare_address()?),
        _ => (c.unsigned_pointer_type()?, c.address()?),
    };
    atomic_size(c, size)?;
    c.sym(",")?;
    if op == AtomicOp::Cmpxchg {
        let old = c.any_reg()?;
        if old != Reg::R0 || dst != Reg::R0 {
            return Err(c.error_before("compare and exchange takes and gives the old value in `r0`"));
        }
        c.sym(",")?;
    }
    let src = c.any_reg()?;
    if op != AtomicOp::Cmpxchg && src != dst {
        return Err(c.error_before("the old value comes back in the operand's register"));
    }
    c.sym(")")?;
    Ok(Insn::Atomic { size, op, fetch: true, base, off, src })
}

/// `be16` and its like.
fn swap(word: &str) -> Option<(SwapOp, u8)> {
    let digits = word.find(|ch: char| ch.is_ascii_digit())?;
    let (stem, bits) = word.split_at_checked(digits)?;
    let Op::Swap(op) = ops::by_mnemonic(Family::Swap, stem)?.op else { return None };
    let bits = [16, 32, 64].into_iter().find(|n: &u8| n.to_string() == bits)?;
    Some((op, bits))
}
