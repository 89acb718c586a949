//! Reads the text form of the machine IR that `Display` writes.

use super::print::{ALU, ATOMICS, CONDS};
use super::{Arg, Base, Block, BlockId, Callee, Const, Function, Inst, Node, Opnd, Term, VReg};
use crate::ir::parse::ParseError;
use ebpf_asm::{AluOp, AtomicOp, Cond, MapRef, Size, SrcLoc, Width};

/// Reads one function. Registers and blocks keep their numbers; blocks must be numbered in order.
///
/// # Errors
/// Names the first line that cannot be read.
pub fn parse(text: &str) -> Result<Function, ParseError> {
    let mut function: Option<Function> = None;
    let mut open: Option<(Vec<VReg>, bool, Vec<Node>)> = None;
    let mut closed = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or("").trim();
        let mut c = Cursor { line: i + 1, rest: line };
        if line.is_empty() {
            continue;
        }
        if closed {
            return c.error("expected nothing behind the function");
        }
        let Some(f) = &mut function else {
            function = Some(header(&mut c)?);
            continue;
        };
        if line == "}" {
            if open.is_some() {
                return c.error("the last block has no end");
            }
            closed = true;
        } else if line.ends_with(':') {
            if open.is_some() {
                return c.error("the block before has no end");
            }
            open = Some(label(&mut c, f.blocks.len())?);
        } else {
            let Some((params, cold, mut insts)) = open.take() else {
                return c.error("an instruction outside of a block");
            };
            match statement(&mut c)? {
                Statement::Inst(inst) => {
                    insts.push(Node { inst, loc: SrcLoc::default() });
                    open = Some((params, cold, insts));
                }
                Statement::Term(term) => {
                    f.blocks.push(Block { params, insts, term, term_loc: SrcLoc::default(), cold });
                }
            }
            c.end()?;
        }
    }
    let error = |message: &str| ParseError { line: text.lines().count(), message: message.to_string() };
    let mut f = function.filter(|_| closed).ok_or_else(|| error("the function is not closed by `}`"))?;
    let mut n = 0;
    for block in &mut f.blocks {
        let mut note = |r: &mut VReg| n = n.max(r.0 + 1);
        block.params.iter_mut().for_each(&mut note);
        block.insts.iter_mut().for_each(|node| node.inst.for_each_reg_mut(&mut note));
        block.term.for_each_reg_mut(&mut note);
    }
    f.n_vregs = n;
    if f.blocks.iter().flat_map(|b| b.term.targets()).any(|to| to.index() >= f.blocks.len()) {
        return Err(error("a jump goes to a block that does not exist"));
    }
    Ok(f)
}

struct Cursor<'a> {
    line: usize,
    rest: &'a str,
}

enum Statement {
    Inst(Inst),
    Term(Term),
}

impl<'a> Cursor<'a> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { line: self.line, message: message.into() })
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        if self.eat(token) { Ok(()) } else { self.error(format!("expected `{token}` at `{}`", self.rest)) }
    }

    fn end(&self) -> Result<(), ParseError> {
        if self.rest.is_empty() { Ok(()) } else { self.error(format!("unexpected `{}`", self.rest)) }
    }

    fn word(&mut self) -> Result<&'a str, ParseError> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if word.is_empty() {
            return self.error(format!("expected a word at `{}`", self.rest));
        }
        self.rest = rest.trim_start();
        Ok(word)
    }

    fn number<T: TryFrom<i64>>(&mut self) -> Result<T, ParseError> {
        let negative = self.eat("-");
        if !negative {
            self.eat("+");
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        let value: Option<i128> = digits.parse().ok();
        self.rest = rest.trim_start();
        let value = value.map(|v| if negative { -v } else { v }).and_then(|v| i64::try_from(v).ok());
        value.and_then(|v| T::try_from(v).ok()).map_or_else(|| self.error("expected a number that fits"), Ok)
    }

    fn after<T: TryFrom<i64>>(&mut self, prefix: &str) -> Result<T, ParseError> {
        self.expect(prefix)?;
        self.number()
    }

    fn reg(&mut self) -> Result<VReg, ParseError> {
        Ok(VReg(self.after("x")?))
    }

    fn block(&mut self) -> Result<BlockId, ParseError> {
        Ok(BlockId(self.after("b")?))
    }

    fn opnd(&mut self) -> Result<Opnd, ParseError> {
        if self.rest.starts_with('x') { Ok(Opnd::Reg(self.reg()?)) } else { Ok(Opnd::Imm(self.number()?)) }
    }

    fn signed(&self) -> bool {
        self.rest.starts_with(['+', '-'])
    }

    fn constant(&mut self) -> Result<Const, ParseError> {
        if self.eat("fp") {
            return Ok(Const::Frame(self.number()?));
        }
        if self.eat("map_value m") {
            return Ok(Const::MapValue(MapRef(self.number()?), self.number()?));
        }
        if self.eat("map m") {
            return Ok(Const::Map(MapRef(self.number()?)));
        }
        if self.eat("func ") {
            return Ok(Const::Func(self.number()?));
        }
        if self.eat("btf_var ") {
            return Ok(Const::BtfVar(self.number()?));
        }
        Ok(Const::Imm(self.number()?))
    }

    fn arg(&mut self) -> Result<Arg, ParseError> {
        if !self.rest.starts_with('x') {
            return Ok(Arg::Const(self.constant()?));
        }
        let reg = self.reg()?;
        Ok(if self.signed() { Arg::Off(reg, self.number()?) } else { Arg::Reg(reg) })
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, ParseError>) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        self.expect("(")?;
        while !self.eat(")") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn address(&mut self) -> Result<(Base, i16), ParseError> {
        self.expect("[")?;
        let base = if self.eat("fp") { Base::Frame } else { Base::Reg(self.reg()?) };
        let off = if self.signed() { self.number()? } else { 0 };
        self.expect("]")?;
        Ok((base, off))
    }

    /// A condition; the longest spelling that fits.
    fn cond(&mut self) -> Result<Cond, ParseError> {
        let found = CONDS.iter().filter(|(_, s)| self.rest.starts_with(s)).max_by_key(|(_, s)| s.len());
        match found {
            Some((cond, spelling)) => {
                self.expect(spelling)?;
                Ok(*cond)
            }
            None => self.error(format!("expected a condition at `{}`", self.rest)),
        }
    }
}

fn size_of(bits: &str) -> Option<Size> {
    bits.parse::<u32>().ok().filter(|b| b.is_multiple_of(8)).and_then(|b| Size::from_bytes(b / 8))
}

fn header(c: &mut Cursor<'_>) -> Result<Function, ParseError> {
    c.expect("mfn")?;
    c.expect("\"")?;
    let Some((name, rest)) = c.rest.split_once('"') else { return c.error("the name is not closed") };
    c.rest = rest.trim_start();
    let frame = c.after("frame ")?;
    c.expect("{")?;
    c.end()?;
    Ok(Function { name: name.to_string(), blocks: Vec::new(), n_vregs: 0, frame })
}

fn label(c: &mut Cursor<'_>, n: usize) -> Result<(Vec<VReg>, bool, Vec<Node>), ParseError> {
    if c.block()?.index() != n {
        return c.error(format!("expected b{n}"));
    }
    let params = if c.rest.starts_with('(') { c.list(Cursor::reg)? } else { Vec::new() };
    let cold = c.eat("cold");
    c.expect(":")?;
    Ok((params, cold, Vec::new()))
}

fn statement(c: &mut Cursor<'_>) -> Result<Statement, ParseError> {
    let rest = c.rest;
    let width = |narrow: bool| if narrow { Width::W32 } else { Width::W64 };
    if rest.starts_with('x') {
        let dst = c.reg()?;
        c.expect("=")?;
        return Ok(Statement::Inst(with_result(c, dst)?));
    }
    let word = c.word()?;
    let mut parts = word.split('.');
    match (parts.next().unwrap_or(""), parts.next(), parts.next()) {
        ("jump", None, None) => {
            let to = c.block()?;
            let args = if c.rest.starts_with('(') { c.list(Cursor::arg)? } else { Vec::new() };
            Ok(Statement::Term(Term::Jump { to, args }))
        }
        ("exit", None, None) => Ok(Statement::Term(Term::Exit(c.arg()?))),
        ("if", narrow @ (None | Some("32")), None) => {
            let lhs = c.reg()?;
            let cond = c.cond()?;
            let rhs = c.opnd()?;
            c.expect("goto")?;
            let then = c.block()?;
            c.expect("else")?;
            let els = c.block()?;
            Ok(Statement::Term(Term::Branch { w: width(narrow.is_some()), cond, lhs, rhs, then, els }))
        }
        ("store", Some(bits), None) => {
            let Some(size) = size_of(bits) else { return c.error("unknown size") };
            let (base, off) = c.address()?;
            c.expect(",")?;
            Ok(Statement::Inst(Inst::Store { size, base, off, src: c.opnd()? }))
        }
        ("atomic", Some(op), Some(bits)) => Ok(Statement::Inst(atomic(c, op, bits, None)?)),
        ("call", None, None) => Ok(Statement::Inst(call(c, None)?)),
        _ => c.error(format!("unknown instruction `{word}`")),
    }
}

fn atomic(c: &mut Cursor<'_>, op: &str, bits: &str, dst: Option<VReg>) -> Result<Inst, ParseError> {
    let op: Option<AtomicOp> = ATOMICS.iter().find(|(_, n)| *n == op).map(|a| a.0);
    let (Some(op), Some(size)) = (op, size_of(bits)) else { return c.error("unknown atomic") };
    let (base, off) = c.address()?;
    c.expect(",")?;
    Ok(Inst::Atomic { size, op, dst, src: c.reg()?, base, off })
}

fn call(c: &mut Cursor<'_>, ret: Option<VReg>) -> Result<Inst, ParseError> {
    let callee = if c.eat("fn ") {
        Callee::Func(c.number()?)
    } else if c.eat("kfunc ") {
        Callee::Kfunc(c.number()?)
    } else if c.eat("#") {
        Callee::Helper(c.number()?)
    } else {
        let name = c.word()?;
        match bpf_facts::helper_by_name(name) {
            Some(def) => Callee::Helper(def.id.0),
            None => return c.error(format!("unknown helper `{name}`")),
        }
    };
    Ok(Inst::Call { callee, args: c.list(Cursor::arg)?, ret })
}

fn with_result(c: &mut Cursor<'_>, dst: VReg) -> Result<Inst, ParseError> {
    let rest = c.rest;
    let numeric = rest.starts_with(|ch: char| ch == '-' || ch.is_ascii_digit());
    let is_const = ["fp", "map ", "map_value ", "func ", "btf_var "].iter().any(|p| rest.starts_with(p));
    if numeric || is_const {
        return Ok(Inst::Const { dst, value: c.constant()? });
    }
    let word = c.word()?;
    let mut parts = word.split('.');
    let (head, second, third) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let w = if second == Some("32") { Width::W32 } else { Width::W64 };
    let op: Option<AluOp> = ALU.iter().find(|(_, n)| *n == head).map(|a| a.0);
    if let (Some(op), None | Some("32")) = (op, second) {
        let lhs = c.reg()?;
        c.expect(",")?;
        return Ok(Inst::Alu { w, op, dst, lhs, rhs: c.opnd()? });
    }
    match (head, second) {
        ("neg", None | Some("32")) => Ok(Inst::Neg { w, dst, src: c.reg()? }),
        ("swap", Some(bits)) => match bits.parse() {
            Ok(bits @ (16 | 32 | 64)) => Ok(Inst::Swap { bits, dst, src: c.reg()? }),
            Ok(_) | Err(_) => c.error("unknown size"),
        },
        ("zext", Some("32")) => Ok(Inst::Zext32 { dst, src: c.reg()? }),
        ("sext", Some(bits)) => match size_of(bits) {
            Some(from) => Ok(Inst::MovSx { from, dst, src: c.reg()? }),
            None => c.error("unknown size"),
        },
        ("load", Some(kind)) => {
            let (sign, bits) = kind.split_at_checked(1).unwrap_or(("", ""));
            let Some(size) = size_of(bits).filter(|_| matches!(sign, "u" | "s")) else {
                return c.error("unknown size");
            };
            let (base, off) = c.address()?;
            Ok(Inst::Load { size, sext: sign == "s", dst, base, off })
        }
        ("atomic", Some(op)) => atomic(c, op, third.unwrap_or(""), Some(dst)),
        ("if", None | Some("32")) => {
            let lhs = c.reg()?;
            let cond = c.cond()?;
            let rhs = c.opnd()?;
            c.expect("then")?;
            let then = c.opnd()?;
            c.expect("else")?;
            Ok(Inst::Select { w, cond, lhs, rhs, dst, then, els: c.opnd()? })
        }
        ("call", None) => call(c, Some(dst)),
        _ => c.error(format!("unknown instruction `{word}`")),
    }
}
