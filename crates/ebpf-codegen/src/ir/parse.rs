//! Reads the text form of the IR that [`print`](super::print) writes.
//!
//! Names are free (`v17` may be the first value), values are numbered by their definition. A value may be used
//! before the line that defines it; whether its definition dominates the use is for the validator to say.

use super::function::{Function, Module, SlotData};
use super::inst::{BinOp, BlockCall, Cond, InstData, Terminator, Type, UnOp};
use super::print::{ATOMICS, is_name_char};
use super::{Block, FuncRef, SlotId, Value};
use bpf_facts::HelperId;
use ebpf_asm::{MapRef, Size, SrcLoc};
use rustc_hash::FxHashMap;
use std::fmt;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What was expected.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// Reads the functions of a module. Text after `//` on a line is a comment.
///
/// # Errors
/// Names the first line that cannot be read.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    let mut module = Module::default();
    let mut lines =
        text.lines().enumerate().map(|(i, l)| (i + 1, strip_comment(l))).filter(|(_, l)| !l.is_empty());
    while let Some((line, header)) = lines.next() {
        let mut body = Vec::new();
        let mut closed = false;
        for (n, l) in lines.by_ref() {
            if l == "}" {
                closed = true;
                break;
            }
            body.push((n, l));
        }
        if !closed {
            return Err(ParseError { line, message: "the function is not closed by `}`".to_string() });
        }
        module.functions.push(FunctionParser::parse((line, header), &body)?);
    }
    Ok(module)
}

/// Reads one function.
///
/// # Errors
/// As [`parse`], and if there is not exactly one function.
pub fn parse_function(text: &str) -> Result<Function, ParseError> {
    let module = parse(text)?;
    match module.functions.len() {
        1 => Ok(module.functions[FuncRef::new(0)].clone()),
        n => Err(ParseError { line: 1, message: format!("expected one function, found {n}") }),
    }
}

fn strip_comment(line: &str) -> &str {
    let quoted = line.contains('"');
    match line.find("//") {
        Some(at) if !quoted => line[..at].trim(),
        Some(_) | None => line.trim(),
    }
}

/// A cursor over one line.
struct Cursor<'a> {
    line: usize,
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn new((line, rest): (usize, &'a str)) -> Self {
        Self { line, rest: rest.trim_start() }
    }

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

    fn word_of(&mut self, what: &str, ok: impl Fn(char) -> bool) -> Result<&'a str, ParseError> {
        let end = self.rest.find(|c| !ok(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return self.error(format!("expected {what} at `{}`", self.rest));
        }
        let word = &self.rest[..end];
        self.rest = self.rest[end..].trim_start();
        Ok(word)
    }

    fn word(&mut self, what: &str) -> Result<&'a str, ParseError> {
        self.word_of(what, |c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// A signed number that fits `T`.
    fn number<T: TryFrom<i64>>(&mut self) -> Result<T, ParseError> {
        let negative = self.eat("-");
        let digits = self.word_of("a number", |c| c.is_ascii_digit())?;
        let value: i128 = digits.parse().or_else(|_| self.error("the number is too large"))?;
        let value = if negative { -value } else { value };
        let value = i64::try_from(value).ok().and_then(|v| T::try_from(v).ok());
        value.map_or_else(|| self.error("the number is out of range"), Ok)
    }

    /// `+8`, `-8` or nothing.
    fn offset<T: TryFrom<i64>>(&mut self) -> Result<T, ParseError> {
        if self.eat("+") || self.rest.starts_with('-') {
            return self.number();
        }
        T::try_from(0).or_else(|_| self.error("the offset is out of range"))
    }

    /// A number after `prefix`: `ss3`, `m0`, `fn1`.
    fn indexed(&mut self, prefix: &str) -> Result<usize, ParseError> {
        let word = self.word("a name")?;
        match word.strip_prefix(prefix).and_then(|n| n.parse::<u32>().ok()) {
            Some(n) => Ok(n as usize),
            None => self.error(format!("expected `{prefix}N`, found `{word}`")),
        }
    }

    /// Items separated by commas up to `)`, the opening parenthesis being eaten.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        if self.eat(")") {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(")") {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    fn loc(&mut self) -> Result<SrcLoc, ParseError> {
        let loc = if self.eat("@") { SrcLoc(self.number()?) } else { SrcLoc::default() };
        if self.rest.is_empty() { Ok(loc) } else { self.error(format!("unexpected `{}`", self.rest)) }
    }
}

fn size_of(bits: &str) -> Option<Size> {
    bits.parse::<u32>().ok().filter(|b| b % 8 == 0).and_then(|b| Size::from_bytes(b / 8))
}

fn type_of(cursor: &mut Cursor<'_>) -> Result<Type, ParseError> {
    match cursor.word("a type")? {
        "i64" => Ok(Type::I64),
        "ptr" => Ok(Type::Ptr),
        other => cursor.error(format!("unknown type `{other}`")),
    }
}

#[derive(Default)]
struct FunctionParser<'a> {
    func: Option<Function>,
    values: FxHashMap<&'a str, Value>,
    blocks: FxHashMap<&'a str, Block>,
    slots: FxHashMap<&'a str, SlotId>,
}

impl<'a> FunctionParser<'a> {
    fn parse(header: (usize, &'a str), body: &[(usize, &'a str)]) -> Result<Function, ParseError> {
        let mut parser = FunctionParser::default();
        let head = parser.header(header)?;
        parser.declare(&head, body)?;
        parser.fill(body)?;
        Ok(parser.func.expect("the header made the function"))
    }

    fn func(&mut self) -> &mut Function {
        self.func.as_mut().expect("the header made the function")
    }

    fn header(&mut self, line: (usize, &'a str)) -> Result<Vec<&'a str>, ParseError> {
        let mut c = Cursor::new(line);
        c.expect("fn")?;
        let name = if c.rest.starts_with('"') {
            quoted(&mut c)?
        } else {
            c.word_of("a name", is_name_char)?.to_string()
        };
        c.expect("(")?;
        let params = c.list(|c| {
            let name = c.word("a parameter")?;
            c.expect(":")?;
            Ok((name, type_of(c)?))
        })?;
        c.expect("{")?;
        let types: Vec<Type> = params.iter().map(|p| p.1).collect();
        self.func = Some(Function::new(name, &types));
        Ok(params.into_iter().map(|p| p.0).collect())
    }

    /// First walk: slots, blocks with their parameters, and the results of instructions, so that all names exist.
    fn declare(&mut self, entry_params: &[&'a str], body: &[(usize, &'a str)]) -> Result<(), ParseError> {
        for &line in body {
            let mut c = Cursor::new(line);
            if is_slot(line.1) {
                let name = c.word("a slot")?;
                c.expect(":")?;
                let size: u32 = c.number()?;
                if size == 0 || !size.is_multiple_of(8) {
                    return c.error("a slot's size is a multiple of 8");
                }
                let slot = self.func().slots.push(SlotData { size });
                if self.slots.insert(name, slot).is_some() {
                    return c.error(format!("{name} is declared twice"));
                }
            } else if is_label(line.1) {
                self.declare_block(&mut c, entry_params)?;
            } else if self.blocks.is_empty() {
                return c.error("an instruction before the first block");
            }
        }
        if self.blocks.is_empty() {
            return Err(ParseError {
                line: body.first().map_or(1, |l| l.0),
                message: "no block".to_string(),
            });
        }
        Ok(())
    }

    fn declare_block(&mut self, c: &mut Cursor<'a>, entry_params: &[&'a str]) -> Result<(), ParseError> {
        let name = c.word("a block")?;
        let entry = self.blocks.is_empty();
        let block = if entry { self.func().entry() } else { self.func().add_block() };
        if self.blocks.insert(name, block).is_some() {
            return c.error(format!("{name} is defined twice"));
        }
        let mut params = Vec::new();
        if c.eat("(") {
            params = c.list(|c| {
                let name = c.word("a parameter")?;
                let ty = if c.eat(":") { Some(type_of(c)?) } else { None };
                Ok((name, ty))
            })?;
        }
        if entry {
            if params.len() != entry_params.len() || params.iter().zip(entry_params).any(|(a, b)| a.0 != *b) {
                return c.error("the entry block's parameters are the function's");
            }
            for (n, name) in entry_params.iter().enumerate() {
                let value = self.func().blocks[block].params[n];
                self.define(c, name, value)?;
            }
        } else {
            for (name, ty) in params {
                let Some(ty) = ty else { return c.error(format!("{name} needs a type")) };
                let value = self.func().add_param(block, ty);
                self.define(c, name, value)?;
            }
        }
        if c.eat("cold") {
            self.func().blocks[block].cold = true;
        }
        c.expect(":")
    }

    fn define(&mut self, c: &Cursor<'a>, name: &'a str, value: Value) -> Result<(), ParseError> {
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => c.error(format!("{name} is defined twice")),
        }
    }

    /// Second walk: instructions. Results are numbered first, because a loop uses what it defines later.
    fn fill(&mut self, body: &[(usize, &'a str)]) -> Result<(), ParseError> {
        let mut placed = Vec::new();
        let mut block = self.func().entry();
        for &line in body.iter().filter(|l| !is_slot(l.1)) {
            let mut c = Cursor::new(line);
            if is_label(line.1) {
                let name = c.word("a block")?;
                block = self.blocks[name];
                continue;
            }
            let result = match line.1.split_once('=') {
                Some((name, _)) if !name.contains('(') => {
                    let name = c.word("a value")?;
                    c.expect("=")?;
                    Some(name)
                }
                Some(_) | None => None,
            };
            let shape = shape_of(&c);
            if let Some(name) = result {
                let inst = self.func().make_inst(shape, SrcLoc::default());
                let Some(value) = self.func().insts[inst].result else {
                    return c.error("this instruction has no result");
                };
                self.define(&c, name, value)?;
                placed.push((block, Some(inst), c));
            } else {
                placed.push((block, None, c));
            }
        }
        for (block, inst, mut c) in placed {
            if self.func().blocks[block].term != Terminator::None {
                return c.error("an instruction after the end of its block");
            }
            if inst.is_none()
                && let Some(term) = self.terminator(&mut c)?
            {
                let loc = c.loc()?;
                let data = &mut self.func().blocks[block];
                data.term = term;
                data.term_loc = loc;
                continue;
            }
            let data = self.inst(&mut c)?;
            let loc = c.loc()?;
            let func = self.func();
            let inst = match inst {
                Some(inst) => {
                    func.insts[inst].data = data;
                    func.insts[inst].loc = loc;
                    inst
                }
                None if data.result_type().is_some() && !matches!(data, InstData::CallHelper(..)) => {
                    return c.error("the result needs a name");
                }
                None => func.make_inst(data, loc),
            };
            func.blocks[block].insts.push(inst);
        }
        Ok(())
    }

    fn value(&self, c: &mut Cursor<'a>) -> Result<Value, ParseError> {
        let name = c.word("a value")?;
        self.values.get(name).copied().map_or_else(|| c.error(format!("{name} is not defined")), Ok)
    }

    fn comma_value(&self, c: &mut Cursor<'a>) -> Result<Value, ParseError> {
        c.expect(",")?;
        self.value(c)
    }

    fn target(&self, c: &mut Cursor<'a>) -> Result<BlockCall, ParseError> {
        let name = c.word("a block")?;
        let Some(&block) = self.blocks.get(name) else { return c.error(format!("{name} is not defined")) };
        let args = if c.eat("(") { c.list(|c| self.value(c))? } else { Vec::new() };
        Ok(BlockCall { block, args })
    }

    fn slot(&self, c: &mut Cursor<'a>) -> Result<SlotId, ParseError> {
        let name = c.word("a slot")?;
        self.slots.get(name).copied().map_or_else(|| c.error(format!("{name} is not declared")), Ok)
    }

    fn terminator(&self, c: &mut Cursor<'a>) -> Result<Option<Terminator>, ParseError> {
        let rest = c.rest;
        let op = c.word_of("an instruction", |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')?;
        Ok(Some(match op {
            "jump" => Terminator::Jump(self.target(c)?),
            "ret" => Terminator::Return(self.value(c)?),
            "none" => Terminator::None,
            _ if op.starts_with("br.") => {
                let Some(&(cond, _)) = Cond::ALL.iter().find(|(_, n)| *n == &op[3..]) else {
                    return c.error(format!("unknown condition `{op}`"));
                };
                let lhs = self.value(c)?;
                let rhs = self.comma_value(c)?;
                c.expect(",")?;
                let then = self.target(c)?;
                c.expect(",")?;
                Terminator::Branch { cond, lhs, rhs, then, els: self.target(c)? }
            }
            _ => {
                c.rest = rest;
                return Ok(None);
            }
        }))
    }

    fn inst(&self, c: &mut Cursor<'a>) -> Result<InstData, ParseError> {
        let op = c.word_of("an instruction", |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')?;
        let mut parts = op.split('.');
        let head = parts.next().unwrap_or("");
        let suffix = parts.next();
        let rest: Vec<&str> = parts.collect();
        let size = |text: Option<&str>| text.and_then(size_of);
        let unary = |c: &mut Cursor<'a>, op| Ok(InstData::Unary(op, self.value(c)?));
        if let Some(&(op, _)) = BinOp::ALL.iter().find(|(_, n)| *n == op) {
            return Ok(InstData::Binary(op, self.value(c)?, self.comma_value(c)?));
        }
        match (head, suffix) {
            ("iconst", None) => Ok(InstData::Iconst(c.number()?)),
            ("neg", None) => unary(c, UnOp::Neg),
            ("not", None) => unary(c, UnOp::Not),
            ("zext" | "sext" | "bswap", suffix) => {
                let Some(size) = size(suffix) else { return c.error(format!("unknown size in `{op}`")) };
                unary(
                    c,
                    match head {
                        "zext" => UnOp::Zext(size),
                        "sext" => UnOp::Sext(size),
                        _ => UnOp::Bswap(size),
                    },
                )
            }
            ("icmp", Some(cond)) => {
                let Some(&(cond, _)) = Cond::ALL.iter().find(|(_, n)| *n == cond) else {
                    return c.error(format!("unknown condition `{op}`"));
                };
                Ok(InstData::Icmp(cond, self.value(c)?, self.comma_value(c)?))
            }
            ("select", None) => {
                Ok(InstData::Select(self.value(c)?, self.comma_value(c)?, self.comma_value(c)?))
            }
            ("ptr_add", None) => Ok(InstData::PtrAdd(self.value(c)?, self.comma_value(c)?)),
            ("ptr_off", None) => {
                let ptr = self.value(c)?;
                c.expect(",")?;
                Ok(InstData::PtrOff(ptr, c.number()?))
            }
            ("load", Some(kind)) => {
                let (sext, size) = match kind.split_at_checked(1) {
                    Some(("u", bits)) => (false, size_of(bits)),
                    Some(("s", bits)) => (true, size_of(bits)),
                    Some(_) | None => (false, None),
                };
                let Some(size) = size else { return c.error(format!("unknown size in `{op}`")) };
                Ok(InstData::Load { size, sext, ptr: self.value(c)?, off: c.offset()? })
            }
            ("load_ptr", None) => Ok(InstData::LoadPtr { ptr: self.value(c)?, off: c.offset()? }),
            ("store", suffix) => {
                let Some(size) = size(suffix) else { return c.error(format!("unknown size in `{op}`")) };
                let value = self.value(c)?;
                Ok(InstData::Store { size, value, ptr: self.comma_value(c)?, off: c.offset()? })
            }
            ("atomic", Some(name)) => {
                let atomic = ATOMICS.iter().find(|(_, n)| *n == name).map(|a| a.0);
                let (Some(op), Some(size)) = (atomic, size(rest.first().copied())) else {
                    return c.error(format!("unknown operation `{op}`"));
                };
                let fetch = rest.get(1) == Some(&"fetch");
                let value = self.value(c)?;
                let ptr = self.comma_value(c)?;
                Ok(InstData::Atomic { op, size, fetch, value, ptr, off: c.offset()? })
            }
            ("mem_zero", None) => {
                let ptr = self.value(c)?;
                let off = c.offset()?;
                c.expect(",")?;
                Ok(InstData::MemZero { ptr, off, len: c.number()? })
            }
            ("mem_copy", None) => {
                let dst = self.value(c)?;
                let dst_off = c.offset()?;
                let src = self.comma_value(c)?;
                let src_off = c.offset()?;
                c.expect(",")?;
                let len = c.number()?;
                c.expect(",")?;
                c.expect("align")?;
                Ok(InstData::MemCopy { dst, dst_off, src, src_off, len, align: c.number()? })
            }
            ("slot_addr", None) => Ok(InstData::SlotAddr(self.slot(c)?, c.offset()?)),
            ("map", None) => Ok(InstData::MapAddr(map_ref(c)?)),
            ("map_value", None) => Ok(InstData::MapValueAddr(map_ref(c)?, c.offset()?)),
            ("func_addr", None) => Ok(InstData::FuncAddr(FuncRef::new(c.indexed("fn")?))),
            ("btf_var", None) => Ok(InstData::BtfVarAddr(c.number()?)),
            ("call", None) => {
                let id = helper_id(c)?;
                c.expect("(")?;
                Ok(InstData::CallHelper(id, c.list(|c| self.value(c))?))
            }
            ("call_fn", None) => {
                let func = FuncRef::new(c.indexed("fn")?);
                c.expect("(")?;
                Ok(InstData::CallFunc(func, c.list(|c| self.value(c))?))
            }
            ("call_kfunc", suffix @ (None | Some("ptr"))) => {
                let btf_id = c.number()?;
                c.expect("(")?;
                Ok(InstData::CallKfunc { btf_id, args: c.list(|c| self.value(c))?, ptr: suffix.is_some() })
            }
            _ => c.error(format!("unknown instruction `{op}`")),
        }
    }
}

fn map_ref(c: &mut Cursor<'_>) -> Result<MapRef, ParseError> {
    Ok(MapRef(c.indexed("m")? as u32))
}

fn helper_id(c: &mut Cursor<'_>) -> Result<HelperId, ParseError> {
    if c.eat("#") {
        return Ok(HelperId(c.number()?));
    }
    let name = c.word("a helper")?;
    bpf_facts::helper_by_name(name)
        .map_or_else(|| c.error(format!("unknown helper `{name}`")), |def| Ok(def.id))
}

/// An instruction that has a result of the right type, standing for the one to be read.
fn shape_of(c: &Cursor<'_>) -> InstData {
    let mut c = Cursor { line: c.line, rest: c.rest };
    let op = c.word_of("an instruction", |c| c.is_ascii_alphanumeric() || c == '_' || c == '.').unwrap_or("");
    match op {
        "ptr_add" | "ptr_off" | "load_ptr" | "slot_addr" | "map" | "map_value" | "func_addr" | "btf_var"
        | "call_kfunc.ptr" => InstData::BtfVarAddr(0),
        "call" => match helper_id(&mut c) {
            Ok(id) => InstData::CallHelper(id, Vec::new()),
            Err(_) => InstData::Iconst(0),
        },
        _ if op.starts_with("store") || op.starts_with("mem_") => {
            InstData::MemZero { ptr: Value::new(0), off: 0, len: 0 }
        }
        _ => InstData::Iconst(0),
    }
}

fn is_slot(line: &str) -> bool {
    line.starts_with("ss")
}

fn is_label(line: &str) -> bool {
    line.ends_with(':')
}

fn quoted(c: &mut Cursor<'_>) -> Result<String, ParseError> {
    let mut name = String::new();
    let mut chars = c.rest.char_indices().skip(1);
    while let Some((at, ch)) = chars.next() {
        match ch {
            '"' => {
                c.rest = c.rest[at + 1..].trim_start();
                return Ok(name);
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => name.push('\n'),
                Some((_, ch)) => name.push(ch),
                None => break,
            },
            ch => name.push(ch),
        }
    }
    c.error("the name is not closed by `\"`")
}
