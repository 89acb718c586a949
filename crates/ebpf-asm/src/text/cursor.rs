//! Reading the tokens of a line one after another.

use super::lexer::{Tok, Token};
use super::{AsmError, TargetRef};
use crate::insn::{Operand, Reg, Size, Width};

/// The tokens of a line, being read.
pub(super) struct Cursor<'a, 't> {
    pub(super) tokens: &'a [Token<'t>],
    pub(super) next: usize,
    pub(super) line: u32,
    /// Column behind the last character.
    pub(super) end: u32,
}

impl<'t> Cursor<'_, 't> {
    pub(super) fn peek(&self) -> Option<Tok<'t>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Tok<'t>> {
        self.tokens.get(self.next + ahead).map(|token| token.tok)
    }

    pub(super) fn at_end(&self) -> bool {
        self.next >= self.tokens.len()
    }

    pub(super) fn col(&self) -> u32 {
        self.tokens.get(self.next).map_or(self.end, |token| token.col)
    }

    /// An error at the next token.
    pub(super) fn error(&self, message: impl Into<String>) -> AsmError {
        AsmError { line: self.line, col: self.col(), message: message.into() }
    }

    /// An error at the token just read.
    pub(super) fn error_before(&self, message: impl Into<String>) -> AsmError {
        let before = self.next.checked_sub(1).and_then(|i| self.tokens.get(i));
        let col = before.map_or(self.end, |token| token.col);
        AsmError { line: self.line, col, message: message.into() }
    }

    pub(super) fn eat(&mut self, tok: Tok<'_>) -> bool {
        let found = self.peek() == Some(tok);
        self.next += usize::from(found);
        found
    }

    pub(super) fn sym(&mut self, sym: &str) -> Result<(), AsmError> {
        if self.eat(Tok::Sym(sym)) { Ok(()) } else { Err(self.error(format!("expected `{sym}`"))) }
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), AsmError> {
        if self.eat(Tok::Word(word)) { Ok(()) } else { Err(self.error(format!("expected `{word}`"))) }
    }

    /// Skips `12:`, with opcode or bytes behind it.
    pub(super) fn skip_dump_prefix(&mut self) {
        if !matches!((self.peek(), self.peek_at(1)), (Some(Tok::Num { .. }), Some(Tok::Sym(":")))) {
            return;
        }
        self.next += 2;
        if let (Some(Tok::Sym("(")), Some(byte), Some(Tok::Sym(")"))) =
            (self.peek(), self.peek_at(1), self.peek_at(2))
            && byte.is_hex_byte()
        {
            self.next += 3;
        } else if (0..8).all(|i| self.peek_at(i).is_some_and(|tok| tok.is_hex_byte())) {
            self.next += 8;
        }
    }

    /// `name:`
    pub(super) fn label(&mut self) -> Option<&'t str> {
        let (Some(Tok::Word(name)), Some(Tok::Sym(":"))) = (self.peek(), self.peek_at(1)) else {
            return None;
        };
        self.next += 2;
        Some(name)
    }

    /// Skips `<LBB0_1>` behind a target.
    pub(super) fn skip_symbol_name(&mut self) {
        if self.peek() == Some(Tok::Sym("<")) && self.tokens.last().map(|t| t.tok) == Some(Tok::Sym(">")) {
            self.next = self.tokens.len();
        }
    }

    pub(super) fn reg(&mut self) -> Result<(Width, Reg), AsmError> {
        let found = match self.peek() {
            Some(Tok::Word(word)) => register(word),
            _ => None,
        };
        let found = found.ok_or_else(|| self.error("expected a register, `r0` to `r10` or `w0` to `w10`"))?;
        self.next += 1;
        Ok(found)
    }

    /// A register that must be of this width.
    pub(super) fn reg_of(&mut self, w: Width) -> Result<Reg, AsmError> {
        let (found, reg) = self.reg()?;
        if found != w {
            return Err(self.error_before("both registers must be of the same width: both `r` or both `w`"));
        }
        Ok(reg)
    }

    /// A register whose width says nothing, as where the access has a size of its own.
    pub(super) fn any_reg(&mut self) -> Result<Reg, AsmError> {
        Ok(self.reg()?.1)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.peek(), Some(Tok::Num { .. } | Tok::Sym("-" | "+")))
    }

    /// A number with its sign.
    pub(super) fn number(&mut self) -> Result<i128, AsmError> {
        let negative = self.eat(Tok::Sym("-"));
        if !negative {
            self.eat(Tok::Sym("+"));
        }
        let Some(Tok::Num { value, .. }) = self.peek() else {
            return Err(self.error("expected a number"));
        };
        self.next += 1;
        let value = i128::from(value);
        Ok(if negative { -value } else { value })
    }

    /// A number of a type.
    pub(super) fn int<T: TryFrom<i128>>(&mut self, what: &str) -> Result<T, AsmError> {
        let start = self.col();
        let value = self.number()?;
        T::try_from(value).map_err(|_| AsmError {
            line: self.line,
            col: start,
            message: format!("{value} is out of range for {what}"),
        })
    }

    /// A 32-bit immediate; the upper half of `u32` is taken for the negative numbers with the same bits.
    pub(super) fn imm(&mut self) -> Result<i32, AsmError> {
        let start = self.col();
        let value = self.number()?;
        match (i32::try_from(value), u32::try_from(value)) {
            (Ok(imm), _) => Ok(imm),
            (_, Ok(bits)) => Ok(bits.cast_signed()),
            _ => Err(AsmError {
                line: self.line,
                col: start,
                message: format!("{value} does not fit into 32 bits; load it into a register with `ll`"),
            }),
        }
    }

    pub(super) fn operand(&mut self, w: Width) -> Result<Operand, AsmError> {
        if self.is_number() { self.imm().map(Operand::Imm) } else { self.reg_of(w).map(Operand::Reg) }
    }

    /// `(u32 *)`, with whether it is signed.
    pub(super) fn pointer_type(&mut self) -> Result<(Size, bool), AsmError> {
        self.sym("(")?;
        let ty = match self.peek() {
            Some(Tok::Word(word)) => memory_type(word),
            _ => None,
        };
        let ty = ty.ok_or_else(|| self.error("expected a type, `u8` to `u64` or `s8` to `s32`"))?;
        self.next += 1;
        self.sym("*")?;
        self.sym(")")?;
        Ok(ty)
    }

    pub(super) fn unsigned_pointer_type(&mut self) -> Result<Size, AsmError> {
        match self.pointer_type()? {
            (size, false) => Ok(size),
            (_, true) => Err(self.error_before("only loads have signed types")),
        }
    }

    /// `(r1 + 8)`, the offset being optional.
    pub(super) fn address(&mut self) -> Result<(Reg, i16), AsmError> {
        self.sym("(")?;
        let found = self.bare_address()?;
        self.sym(")")?;
        Ok(found)
    }

    /// `r1 + 8`
    pub(super) fn bare_address(&mut self) -> Result<(Reg, i16), AsmError> {
        let base = self.reg_of(Width::W64)?;
        let off = if self.is_number() { self.int("an offset of 16 bits")? } else { 0 };
        Ok((base, off))
    }

    /// A label or a distance.
    pub(super) fn target(&mut self) -> Result<(TargetRef<'t>, u32), AsmError> {
        let col = self.col();
        match self.peek() {
            Some(Tok::Word("pc")) if matches!(self.peek_at(1), Some(Tok::Sym("+" | "-"))) => {
                self.next += 1;
                Ok((TargetRef::Distance(self.int("a distance")?), col))
            }
            Some(Tok::Word(label)) => {
                self.next += 1;
                Ok((TargetRef::Label(label), col))
            }
            _ if self.is_number() => Ok((TargetRef::Distance(self.int("a distance")?), col)),
            _ => Err(self.error("expected a label or a distance such as `+3`")),
        }
    }
}

/// `r3`, `w10`
pub(super) fn register(word: &str) -> Option<(Width, Reg)> {
    let w = match word.as_bytes().first()? {
        b'r' => Width::W64,
        b'w' => Width::W32,
        _ => return None,
    };
    let digits = word.get(1..)?;
    if digits.len() > 1 && digits.starts_with('0') || digits.starts_with('+') {
        return None;
    }
    Some((w, Reg::new(digits.parse().ok()?)?))
}

/// `u32`, `s8`
pub(super) fn memory_type(word: &str) -> Option<(Size, bool)> {
    match word {
        "u8" => Some((Size::B, false)),
        "u16" => Some((Size::H, false)),
        "u32" => Some((Size::W, false)),
        "u64" => Some((Size::Dw, false)),
        "s8" => Some((Size::B, true)),
        "s16" => Some((Size::H, true)),
        "s32" => Some((Size::W, true)),
        _ => None,
    }
}
