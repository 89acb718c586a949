//! Selection of loads, and of zeroing and copying.

use super::Selector;
use crate::ir::validate::slot_offset;
use crate::ir::{InstData, Value};
use crate::mir::{Arg, Base, Callee, Const, Inst, Opnd, VReg};
use bpf_facts::{Feature, HelperId, Unsupported};
use ebpf_asm::Size;

/// More stores than this are replaced by a call that zero-fills: it costs 6 instructions and some 10 ns.
const MAX_STORES: usize = 16;

/// The same for pairs of a load and a store.
const MAX_COPIES: usize = 16;

/// What is known of an address at compile time, for the alignment that accesses to the stack must have.
#[derive(Clone, Copy)]
enum Alignment {
    /// So many bytes behind a multiple of 8.
    At(i64),
    /// A multiple of so many bytes.
    Multiple(u32),
}

impl Alignment {
    fn allows(self, pos: u32, size: Size) -> bool {
        match self {
            Alignment::At(off) => (off + i64::from(pos)) % i64::from(size.bytes()) == 0,
            Alignment::Multiple(n) => size.bytes() <= n && pos.is_multiple_of(size.bytes()),
        }
    }
}

/// Cuts `len` bytes into accesses, largest first.
fn pieces(len: u32, sides: &[Alignment]) -> impl Iterator<Item = (u32, Size)> {
    let mut pos = 0;
    std::iter::from_fn(move || {
        if pos >= len {
            return None;
        }
        let size = [Size::Dw, Size::W, Size::H]
            .into_iter()
            .find(|s| pos + s.bytes() <= len && sides.iter().all(|a| a.allows(pos, *s)))
            .unwrap_or(Size::B);
        let at = pos;
        pos += size.bytes();
        Some((at, size))
    })
}

impl Selector<'_> {
    pub(super) fn load(&mut self, dst: VReg, size: Size, sext: bool, ptr: Value, off: i32) {
        let native = !sext || self.target.profile.has(Feature::IsaV4);
        let (base, off) = self.address(ptr, i64::from(off));
        if native {
            return self.push(Inst::Load { size, sext, dst, base, off });
        }
        let raw = self.fresh();
        self.push(Inst::Load { size, sext: false, dst: raw, base, off });
        self.sign_extend(dst, size, raw);
    }

    /// Map values, records and slots begin at multiples of 8; a pointer moved by a run-time amount may be anything.
    /// A block parameter is taken for the beginning of an object.
    fn alignment(&self, ptr: Value, off: i32) -> Alignment {
        if let Some((_, base)) = slot_offset(self.func, ptr) {
            return Alignment::At(base + i64::from(off));
        }
        let (root, base) = self.root(ptr);
        match self.func.def_inst(root) {
            Some(InstData::PtrAdd(..)) => Alignment::Multiple(1),
            Some(_) | None => Alignment::At(base + i64::from(off)),
        }
    }

    pub(super) fn mem_zero(&mut self, ptr: Value, off: i32, len: u32) -> Result<(), Unsupported> {
        let cuts: Vec<_> = pieces(len, &[self.alignment(ptr, off)]).take(MAX_STORES + 1).collect();
        if cuts.len() > MAX_STORES {
            // Reading from NULL fails, and a read that fails zero-fills the destination.
            let dst = self.moved(ptr, off);
            return self.probe_read(dst, len, Arg::Const(Const::Imm(0)));
        }
        let (base, start) = self.span(ptr, off, len);
        for (pos, size) in cuts {
            self.push(Inst::Store { size, base, off: start + pos as i16, src: Opnd::Imm(0) });
        }
        Ok(())
    }

    pub(super) fn mem_copy(
        &mut self,
        dst: (Value, i32),
        src: (Value, i32),
        len: u32,
        align: u32,
    ) -> Result<(), Unsupported> {
        let side = |this: &Self, (ptr, off): (Value, i32)| match slot_offset(this.func, ptr) {
            Some((_, base)) => Alignment::At(base + i64::from(off)),
            None => Alignment::Multiple(align),
        };
        let sides = [side(self, dst), side(self, src)];
        let cuts: Vec<_> = pieces(len, &sides).take(MAX_COPIES + 1).collect();
        if cuts.len() > MAX_COPIES {
            let from = self.moved(src.0, src.1);
            let to = self.moved(dst.0, dst.1);
            return self.probe_read(to, len, from);
        }
        let (to, to_off) = self.span(dst.0, dst.1, len);
        let (from, from_off) = self.span(src.0, src.1, len);
        for (pos, size) in cuts {
            let value = self.fresh();
            let off = from_off + pos as i16;
            self.push(Inst::Load { size, sext: false, dst: value, base: from, off });
            self.push(Inst::Store { size, base: to, off: to_off + pos as i16, src: Opnd::Reg(value) });
        }
        Ok(())
    }

    /// Base and offset from which `len` bytes are in reach of an access.
    fn span(&mut self, ptr: Value, off: i32, len: u32) -> (Base, i16) {
        let (base, start) = self.address(ptr, i64::from(off));
        if i64::from(start) + i64::from(len) <= i64::from(i16::MAX) {
            return (base, start);
        }
        match base {
            Base::Frame => (base, start),
            Base::Reg(lhs) => {
                let dst = self.fresh();
                let rhs = Opnd::Imm(i32::from(start));
                let w = ebpf_asm::Width::W64;
                self.push(Inst::Alu { w, op: ebpf_asm::AluOp::Add, dst, lhs, rhs });
                (Base::Reg(dst), 0)
            }
        }
    }

    /// A pointer plus a constant as argument of a call.
    fn moved(&mut self, ptr: Value, off: i32) -> Arg {
        let (root, base) = self.root(ptr);
        let total = base + i64::from(off);
        match (self.constant(root), i32::try_from(total)) {
            (Some(Const::Frame(at)), Ok(off)) => Arg::Const(Const::Frame(at + off)),
            (Some(Const::MapValue(map, at)), Ok(off)) => {
                Arg::Const(Const::MapValue(map, at.wrapping_add_signed(off)))
            }
            (_, Ok(0)) => Arg::Reg(self.reg(root)),
            (_, Ok(off)) => Arg::Off(self.reg(root), off),
            (_, Err(_)) => {
                let (base, off) = self.address(ptr, i64::from(off));
                match base {
                    Base::Reg(r) => Arg::Off(r, i32::from(off)),
                    Base::Frame => Arg::Const(Const::Frame(i32::from(off))),
                }
            }
        }
    }

    fn probe_read(&mut self, dst: Arg, len: u32, src: Arg) -> Result<(), Unsupported> {
        self.target.profile.helper(HelperId::PROBE_READ_KERNEL, self.target.prog)?;
        let len = Arg::Const(Const::Imm(i64::from(len)));
        let callee = Callee::Helper(HelperId::PROBE_READ_KERNEL.0);
        self.push(Inst::Call { callee, args: vec![dst, len, src], ret: None });
        Ok(())
    }
}
