//! Dynptrs: objects in the stack that stand for memory whose place and size the program does not know.
//!
//! One takes two slots. What is read through it, a slice, ends with it.

use super::iterator::object_slot;
use crate::explore::Walk;
use crate::rules::{Check, Rule, name};
use crate::state::{Byte, Flags, Kind, Ref, RegState};
use bpf_facts::V;
use ebpf_asm::{Operand, Reg};

/// First kernel whose rules are these.
const SINCE: V = V(6, 12);
/// First kernel that tracks what a dynptr was made of.
const PARENTS_SINCE: V = V(7, 0);

/// What a dynptr stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DynptrKind {
    /// Memory of the program.
    Local = 1,
    /// A ring buffer record, which must be submitted or discarded.
    Ringbuf,
    /// The packet of a socket buffer.
    Skb,
    /// The packet of XDP.
    Xdp,
}

/// A dynptr that is used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dynptr {
    pub(crate) kind: DynptrKind,
    pub(crate) id: u32,
    pub(crate) ref_id: u32,
    /// Frame, and slot of its lowest bytes; `None` for one that a callback is given.
    place: Option<(u8, usize)>,
}

impl Dynptr {
    /// Flags of a slice.
    pub(crate) fn slice_flags(&self) -> Flags {
        match self.kind {
            DynptrKind::Local | DynptrKind::Ringbuf => Flags::SLICE,
            DynptrKind::Skb | DynptrKind::Xdp => Flags::SLICE.with(Flags::PACKET),
        }
    }
}

fn kind_of(aux: u32) -> DynptrKind {
    [DynptrKind::Local, DynptrKind::Ringbuf, DynptrKind::Skb, DynptrKind::Xdp]
        .into_iter()
        .find(|kind| *kind as u32 == aux)
        .unwrap_or(DynptrKind::Local)
}

impl Walk<'_> {
    /// Whether dynptrs are modelled for this kernel.
    pub(crate) fn knows_dynptrs(&self) -> Check {
        let version = self.env.profile.version;
        if version < SINCE || version >= PARENTS_SINCE {
            return self.unsure("a dynptr, in this version of the kernel");
        }
        Ok(())
    }

    /// Makes one where `r` points to; `of` is the one that it is a clone of.
    pub(crate) fn new_dynptr(&mut self, kind: DynptrKind, r: Reg, of: Option<Dynptr>) -> Check {
        self.knows_dynptrs()?;
        let value = *self.st.reg(r);
        if value.kind != Kind::Stack {
            return Err(self.wrong_dynptr(r, "stack for a dynptr"));
        }
        let Some((f, first)) = self.dynptr_slot(&value) else {
            return Err(self.wrong_dynptr(r, "16 aligned bytes of stack, at a fixed place, for a dynptr"));
        };
        for i in 0..2 {
            self.store_value(8, r, 8 * i, None::<Operand>, false)?;
        }
        self.end_dynptr_at(f, first)?;
        self.end_dynptr_at(f, first - 1)?;
        let id = self.new_id();
        let ref_id = match of {
            Some(of) => of.ref_id,
            None if kind == DynptrKind::Ringbuf => {
                let id = self.new_id();
                let (acquired_at, frame) = (self.pc, self.st.top);
                self.st.refs.push(Ref { id, acquired_at, frame });
                id
            }
            None => 0,
        };
        for (spi, uid) in [(first, 1), (first - 1, 0)] {
            let slot = &mut self.st.frame_mut(f).stack[spi];
            slot.bytes = [Byte::Dynptr; 8];
            slot.reg = RegState { aux: kind as u32, uid, id, ref_id, ..RegState::NOT_INIT };
            slot.written = true;
        }
        Ok(())
    }

    /// The dynptr that `r` points to, or that a callback was given there. One that is changed cannot be such.
    pub(crate) fn dynptr(&mut self, r: Reg, changes: bool) -> Check<Dynptr> {
        self.knows_dynptrs()?;
        let value = *self.st.reg(r);
        if value.kind == Kind::Dynptr {
            if changes {
                return Err(self.wrong_dynptr(r, "a dynptr that it may change"));
            }
            return Ok(Dynptr { kind: kind_of(value.aux), id: value.id, ref_id: value.ref_id, place: None });
        }
        let found = match value.kind {
            Kind::Stack => self.dynptr_slot(&value),
            _ => None,
        };
        let found = found.filter(|&(f, first)| {
            let stack = &self.st.frame(f).stack;
            let whole = |spi: usize| stack.get(spi).is_some_and(|slot| slot.bytes == [Byte::Dynptr; 8]);
            whole(first) && whole(first - 1) && stack[first].reg.uid == 1
        });
        let Some((f, first)) = found else { return Err(self.wrong_dynptr(r, "a dynptr")) };
        self.mark_slot_read(f, first);
        self.mark_slot_read(f, first - 1);
        let reg = self.st.frame(f).stack[first].reg;
        Ok(Dynptr { kind: kind_of(reg.aux), id: reg.id, ref_id: reg.ref_id, place: Some((f, first)) })
    }

    /// Gives back what the dynptr stands for, with all its clones and slices.
    pub(crate) fn release_dynptr(&mut self, of: Dynptr) -> Check {
        let Some((f, _)) = of.place else { return Ok(()) };
        self.release(of.ref_id)?;
        for spi in 1..self.st.frame(f).stack.len() {
            let slot = &self.st.frame(f).stack[spi];
            if slot.is_dynptr() && slot.reg.uid == 1 && slot.reg.ref_id == of.ref_id {
                self.clear_dynptr(f, spi);
            }
        }
        Ok(())
    }

    /// Something is written to slot `spi`: a dynptr there is no more, nor are its slices.
    pub(crate) fn end_dynptr_at(&mut self, f: u8, spi: usize) -> Check {
        let Some(slot) = self.st.frame(f).stack.get(spi).filter(|slot| slot.is_dynptr()) else {
            return Ok(());
        };
        let (kind, id) = (kind_of(slot.reg.aux), slot.reg.id);
        let first = if slot.reg.uid == 1 { spi } else { spi + 1 };
        if kind == DynptrKind::Ringbuf {
            return Err(
                Rule::Reference.reject(&[], "a dynptr whose record was not submitted is written over")
            );
        }
        self.clear_dynptr(f, first);
        self.st.update_regs(
            |r| r.kind == Kind::Mem && r.flags.without(Flags::MAYBE_NULL) == Flags::NONE && r.uid == id,
            |r| *r = RegState::UNKNOWN,
        );
        Ok(())
    }

    fn clear_dynptr(&mut self, f: u8, first: usize) {
        for spi in [first, first - 1] {
            let slot = &mut self.st.frame_mut(f).stack[spi];
            slot.bytes = [Byte::Invalid; 8];
            slot.reg = RegState::NOT_INIT;
            slot.written = true;
        }
    }

    /// The dynptr that a callback or a global function is given.
    pub(crate) fn given_dynptr(id: u32) -> RegState {
        RegState { id, ..RegState::pointer(Kind::Dynptr, Flags::NONE, DynptrKind::Local as u32) }
    }

    /// Frame, and slot of the lowest bytes.
    fn dynptr_slot(&self, value: &RegState) -> Option<(u8, usize)> {
        let off = i64::from(value.off) + value.val.as_const()? as i64;
        let first = object_slot(off)?;
        (1..64).contains(&first).then_some((value.frame, first))
    }

    fn wrong_dynptr(&self, r: Reg, wants: &str) -> Box<crate::Stop> {
        let value = self.st.reg(r);
        Rule::Argument.reject(&[r], format!("{} holds {value}; the call wants {wants} there", name(r)))
    }
}
