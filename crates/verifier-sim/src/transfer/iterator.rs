//! Iterators of the kernel: objects in the stack that give one value after the other.
//!
//! A loop over one is walked until it finds nothing new: where an iterator is asked, the path goes on as if it were
//! drained, and another one is put aside on which it gave a value.

use super::jump::widen;
use super::stack::place;
use crate::explore::Walk;
use crate::fields;
use crate::rules::{Check, Rule, name};
use crate::state::{Byte, Flags, Kind, Ref, RegState, Slot};
use bpf_facts::{KfuncKind, kfunc};
use ebpf_asm::{Callee, Insn, Operand, Program, Reg};
use hark_btf::{Btf, Kind as BtfKind, TypeId};

/// The calls of a program that ask an iterator for its next value.
pub(crate) fn iter_next_calls(p: &Program, btf: Option<&Btf>) -> Vec<u32> {
    let Some(btf) = btf else { return Vec::new() };
    let asks = |insn: &Insn| match insn {
        Insn::Call(Callee::Kfunc { btf_id, module: 0 }) => {
            let known = btf.type_by_id(TypeId(*btf_id)).and_then(|ty| kfunc(ty.name()));
            known.is_some_and(|def| def.kind == KfuncKind::IterNext)
        }
        _ => false,
    };
    (0u32..).zip(&p.insns).filter(|(_, insn)| asks(insn)).map(|(i, _)| i).collect()
}

/// An iterator in the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iterator {
    frame: u8,
    /// Slot with its lowest bytes.
    first: usize,
    slots: usize,
    pub(crate) ref_id: u32,
}

impl Walk<'_> {
    /// Makes a new iterator of `ty` where `r` points to.
    pub(crate) fn new_iterator(&mut self, btf: &Btf, ty: TypeId, r: Reg, rcu: bool) -> Check {
        let (frame, first, slots) = self.iterator_place(btf, ty, r)?;
        let taken = |i: usize| {
            let slot = self.st.frame(frame).stack.get(first - i);
            slot.is_some_and(|slot: &Slot| slot.bytes.contains(&Byte::Iter))
        };
        // The kernel does not look where the first slot lies below all that the frame has come to use.
        let below = first >= self.st.frame(frame).stack.len();
        if !below && (0..slots).any(taken) {
            return Err(self.wrong_iterator(r, "stack without an iterator"));
        }
        for i in 0..slots {
            self.store_value(8, r, 8 * i as i32, None::<Operand>, false)?;
        }
        let id = self.new_id();
        let acquired_at = self.pc;
        let top = self.st.top;
        self.st.refs.push(Ref { id, acquired_at, frame: top });
        let flags = match (rcu, self.in_rcu_section()) {
            (false, _) => Flags::NONE,
            (true, true) => Flags::RCU,
            (true, false) => Flags::UNTRUSTED,
        };
        for i in 0..slots {
            let slot = &mut self.st.frame_mut(frame).stack[first - i];
            slot.bytes = [Byte::Iter; 8];
            slot.reg = RegState { flags, aux: ty.0, ..RegState::NOT_INIT };
            slot.reg.ref_id = if i == 0 { id } else { 0 };
            slot.written = true;
        }
        Ok(())
    }

    /// The iterator of `ty` that `r` points to.
    pub(crate) fn iterator(&mut self, btf: &Btf, ty: TypeId, r: Reg) -> Check<Iterator> {
        let (frame, first, slots) = self.iterator_place(btf, ty, r)?;
        for i in 0..slots {
            let slot = (first - i < self.st.frame(frame).stack.len())
                .then(|| self.st.frame(frame).stack[first - i])
                .filter(|slot| slot.bytes == [Byte::Iter; 8] && slot.reg.aux == ty.0)
                .filter(|slot| (slot.reg.ref_id != 0) == (i == 0));
            let Some(slot) = slot else { return Err(self.wrong_iterator(r, "an iterator")) };
            if slot.reg.flags.has(Flags::UNTRUSTED) {
                return Err(self.wrong_iterator(r, "an iterator within a read-side section of RCU"));
            }
        }
        for i in 0..slots {
            self.mark_slot_read(frame, first - i);
        }
        let ref_id = self.st.frame(frame).stack[first].reg.ref_id;
        Ok(Iterator { frame, first, slots, ref_id })
    }

    /// Ends the iterator.
    pub(crate) fn destroy_iterator(&mut self, it: Iterator) -> Check {
        self.release(it.ref_id)?;
        for i in 0..it.slots {
            let slot = &mut self.st.frame_mut(it.frame).stack[it.first - i];
            slot.bytes = [Byte::Invalid; 8];
            slot.reg = RegState::NOT_INIT;
            slot.written = true;
        }
        Ok(())
    }

    /// What the iterator gives is in `R0`: here nothing, and on the path put aside a value.
    pub(crate) fn ask_iterator(&mut self, it: Iterator) -> Check {
        if self.st.frame(it.frame).stack[it.first].is_active_iter() {
            let before = self.st.parent.and_then(|id| self.previous_visit_before(id, self.pc));
            let next = self.pc + 1;
            self.fork(next)?;
            let mut again = self.take_fork();
            again.frame_mut(it.frame).stack[it.first].reg.range += 1;
            if let Some(before) = before {
                widen(&self.checkpoint(before).st, &mut again);
            }
            let value = again.reg_mut(Reg::R0);
            value.flags = value.flags.without(Flags::MAYBE_NULL);
            self.put_fork(again);
        }
        self.st.frame_mut(it.frame).stack[it.first].reg.uid = 1;
        *self.st.reg_mut(Reg::R0) = RegState::constant(0);
        Ok(())
    }

    /// Whether the iterator that the current instruction asks may give another value.
    pub(crate) fn asks_active_iterator(&self) -> bool {
        let r = self.st.reg(Reg::R1);
        let Some(off) = r.val.as_const().filter(|_| r.kind == Kind::Stack) else { return false };
        let off = i64::from(r.off) + off as i64;
        object_slot(off)
            .and_then(|spi| self.st.frame(r.frame).stack.get(spi))
            .is_some_and(|slot| slot.is_active_iter())
    }

    /// What `it` gives is protected by RCU.
    pub(crate) fn gives_rcu(&self, it: Iterator) -> bool {
        self.st.frame(it.frame).stack[it.first].reg.flags.has(Flags::RCU)
    }

    /// What iterators give is no longer protected: they cannot be used.
    pub(crate) fn leave_rcu_iterators(&mut self) {
        for f in 0..=self.st.top {
            let within = |slot: &Slot| slot.is_iter() && slot.reg.flags.has(Flags::RCU);
            if self.st.frame(f).stack.iter().any(within) {
                for slot in self.st.frame_mut(f).stack.iter_mut().filter(|slot| within(slot)) {
                    slot.reg.flags = Flags::UNTRUSTED;
                }
            }
        }
    }

    /// Frame, slot of its lowest bytes, and number of slots of an iterator of `ty` at `r`.
    fn iterator_place(&self, btf: &Btf, ty: TypeId, r: Reg) -> Check<(u8, usize, usize)> {
        let value = *self.st.reg(r);
        if value.kind != Kind::Stack {
            return Err(self.wrong_iterator(r, "the address of an iterator in the stack"));
        }
        let Some(var) = value.val.as_const() else {
            return Err(self.wrong_iterator(r, "an iterator at a fixed place"));
        };
        let first = object_slot(i64::from(value.off) + var as i64);
        let slots = (btf.size_of(ty).unwrap_or(0) / 8) as usize;
        match first.filter(|first| slots > 0 && first + 1 >= slots) {
            Some(first) => Ok((value.frame, first, slots)),
            None => Err(self.wrong_iterator(r, "the address of an iterator in the stack")),
        }
    }

    fn wrong_iterator(&self, r: Reg, why: &str) -> Box<crate::Stop> {
        let value = self.st.reg(r);
        Rule::Kfunc.reject(&[r], format!("{} holds {value}; the function takes {why}", name(r)))
    }
}

/// The slot that an object at `off` begins in, where one may. The kernel takes the frame's end for its last slot.
pub(crate) fn object_slot(off: i64) -> Option<usize> {
    match off {
        0 => Some(0),
        _ if off < 0 && off % 8 == 0 => Some(place(off).0),
        _ => None,
    }
}

/// The structure that the first argument of an iterator's function points to.
pub(crate) fn iterator_type(btf: &Btf, param: TypeId) -> Option<TypeId> {
    let pointer = btf.resolve(param).filter(|ty| ty.kind() == BtfKind::Ptr)?;
    let of = btf.resolve(pointer.target()?)?;
    (of.kind() == BtfKind::Struct && matches!(fields::value_of(btf, param), fields::Value::Pointer(..)))
        .then(|| of.id())
}
