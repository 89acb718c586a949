//! Comparisons of texts and of other values in memory.
//!
//! The kernel's verifier walks every turn of these loops and keeps the branch it did not take for later, at most
//! 8192 of them. So loops go by words where the places are aligned, and by bytes only where they are not.

use super::{Lower, Mem};
use crate::typed::{Expr, ExprKind};
use crate::types::Type;
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Block, Cond, Type as IrType, UnOp, Value};

/// Lowest bit of every byte.
const ONES: i64 = 0x0101_0101_0101_0101;
/// Highest bit of every byte.
const TOPS: i64 = 0x8080_8080_8080_8080_u64 as i64;
/// Longest text that is compared where it lies, if it does not lie at a multiple of 8.
const MAX_UNALIGNED: u32 = 64;

impl Lower<'_> {
    /// 1 if both texts are equal up to their terminators.
    pub(super) fn text_equal(&mut self, a: &Expr, b: &Expr) -> Value {
        match (a.as_str(), b.as_str()) {
            (_, Some(text)) => {
                let text = text.to_vec();
                let room = cap_of(&a.ty);
                let mem = self.mem(a);
                self.text_equals_const(mem, &text, room)
            }
            (Some(text), None) => {
                let text = text.to_vec();
                let room = cap_of(&b.ty);
                let mem = self.mem(b);
                self.text_equals_const(mem, &text, room)
            }
            (None, None) => {
                let n = cap_of(&a.ty).min(cap_of(&b.ty));
                let (x, y) = (self.padded_text(a), self.padded_text(b));
                let differs = self.text_differs(x, y, n);
                self.maybe_not(differs, true)
            }
        }
    }

    /// A text in memory at a multiple of 8 (unless it is short), with nothing behind its terminator.
    pub(crate) fn padded_text(&mut self, e: &Expr) -> Mem {
        let mem = self.mem(e);
        let cap = cap_of(&e.ty);
        let clean = matches!(
            e.kind,
            ExprKind::Var(_)
                | ExprKind::MapGet(..)
                | ExprKind::Call(_)
                | ExprKind::Str(_)
                | ExprKind::Convert(_)
        );
        if clean && (mem.alignment() == 8 || cap <= MAX_UNALIGNED) {
            return mem;
        }
        let copy = self.new_bytes(cap + 1);
        if clean {
            self.copy(copy, mem, cap);
        } else {
            // The context's own: bytes behind the terminator are whatever was there before.
            let address = self.address(mem);
            self.read_text(copy, cap, address, 0, crate::types::Space::Kernel);
        }
        copy
    }

    /// As [`Lower::padded_text`], at a multiple of 8 however short.
    pub(crate) fn aligned_text(&mut self, e: &Expr) -> Mem {
        let mem = self.padded_text(e);
        if mem.alignment() == 8 {
            return mem;
        }
        let copy = self.new_bytes(cap_of(&e.ty) + 1);
        self.copy(copy, mem, cap_of(&e.ty));
        copy
    }

    /// Not zero if one of the word's bytes is.
    pub(crate) fn has_zero_byte(&mut self, word: Value) -> Value {
        // Subtracting 1 from it borrows into its top bit.
        let ones = self.b.iconst(ONES);
        let less = self.b.binary(BinOp::Sub, word, ones);
        let not = self.b.unary(UnOp::Not, word);
        let borrowed = self.b.binary(BinOp::And, less, not);
        let tops = self.b.iconst(TOPS);
        self.b.binary(BinOp::And, borrowed, tops)
    }

    /// 1 if the text at `mem` (of `room` bytes) is the constant.
    fn text_equals_const(&mut self, mem: Mem, text: &[u8], room: u32) -> Value {
        let mut bytes = text.split(|c| *c == 0).next().unwrap_or(&[]).to_vec();
        if bytes.len() as u32 >= room {
            return self.b.iconst(0);
        }
        bytes.push(0);
        let var = self.b.declare_var(IrType::I64);
        let (equal, differs, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let mut at = 0u32;
        let total = bytes.len() as u32;
        while at < total {
            let left = total - at;
            let here = mem.plus(at);
            let size =
                [8u32, 4, 2, 1].into_iter().find(|n| *n <= left && *n <= here.alignment()).unwrap_or(1);
            let mut word = [0u8; 8];
            word[..size as usize].copy_from_slice(&bytes[at as usize..(at + size) as usize]);
            let size_class = Size::from_bytes(size).unwrap_or(Size::B);
            let have = self.b.load(size_class, here.ptr, here.off);
            let want = self.b.iconst(i64::from_le_bytes(word));
            let more = self.b.create_block();
            self.b.branch(Cond::Eq, have, want, more, differs);
            self.b.seal_and_switch(more);
            at += size;
        }
        self.b.jump(equal, &[]);
        for (block, n) in [(equal, 1), (differs, 0)] {
            self.b.seal_and_switch(block);
            let value = self.b.iconst(n);
            self.b.def_var(var, value);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
        self.b.use_var(var)
    }

    /// 0 if the first `n` bytes are equal or equal up to a terminator, else 1. Behind the terminator of a place at a
    /// multiple of 8 there are zeroes.
    pub(crate) fn text_differs(&mut self, a: Mem, b: Mem, n: u32) -> Value {
        self.differs(a, b, n, true)
    }

    /// 1 if `n` bytes are equal.
    pub(crate) fn bytes_equal(&mut self, a: Mem, b: Mem, n: u32) -> Value {
        let differs = self.differs(a, b, n, false);
        self.maybe_not(differs, true)
    }

    /// The bytes where a run-time index may go: the verifier lets none into the context.
    pub(crate) fn walkable(&mut self, mem: Mem, len: u32) -> Mem {
        if mem.ptr != self.ctx() {
            return mem;
        }
        let copy = self.new_bytes(len);
        self.copy(copy, mem, len);
        copy
    }

    fn differs(&mut self, a: Mem, b: Mem, n: u32, until_nul: bool) -> Value {
        let (a, b) = (self.walkable(a, n), self.walkable(b, n));
        let result = self.b.declare_var(IrType::I64);
        let (same, differs, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let by_words = if a.alignment() == 8 && b.alignment() == 8 { n / 8 * 8 } else { 0 };
        self.compare_loop((a, b), Size::Dw, (0, by_words), until_nul, (same, differs));
        self.compare_loop((a, b), Size::B, (by_words, n), until_nul, (same, differs));
        self.b.jump(same, &[]);
        for (block, value) in [(same, 0), (differs, 1)] {
            self.b.seal_and_switch(block);
            let value = self.b.iconst(value);
            self.b.def_var(result, value);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
        self.b.use_var(result)
    }

    /// Compares the bytes from `from` to `to`; goes on behind if they are equal.
    fn compare_loop(
        &mut self,
        (a, b): (Mem, Mem),
        size: Size,
        (from, to): (u32, u32),
        until_nul: bool,
        (same, differs): (Block, Block),
    ) {
        if from >= to {
            return;
        }
        let i = self.b.declare_var(IrType::I64);
        let start = self.b.iconst(i64::from(from));
        self.b.def_var(i, start);
        let (head, body, more, done) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let at = self.b.use_var(i);
        let limit = self.b.iconst(i64::from(to));
        self.b.branch(Cond::Ult, at, limit, body, done);
        self.b.seal_and_switch(body);
        let (pa, pb) = (self.b.ptr_add(a.ptr, at), self.b.ptr_add(b.ptr, at));
        let (x, y) = (self.b.load(size, pa, a.off), self.b.load(size, pb, b.off));
        let equal = self.b.create_block();
        self.b.branch(Cond::Eq, x, y, equal, differs);
        self.b.seal_and_switch(equal);
        match (until_nul, size) {
            (false, _) => self.b.jump(more, &[]),
            (true, Size::B) => self.b.branch_nonzero(x, more, same),
            (true, _) => {
                let zero = self.has_zero_byte(x);
                self.b.branch_nonzero(zero, same, more);
            }
        }
        self.b.seal_and_switch(more);
        let following = self.b.binary_imm(BinOp::Add, at, i64::from(size.bytes()));
        self.b.def_var(i, following);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal_and_switch(done);
    }
}

fn cap_of(ty: &Type) -> u32 {
    if let Type::Str { cap } = ty { *cap } else { 0 }
}
