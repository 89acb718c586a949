//! Whether a state was verified before: then what follows from it need not be walked again.

use crate::cfg::Cfg;
use crate::state::{ADD_CONST, Byte, Frame, Kind, RegState, Slot, State};

/// How strictly states are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exact {
    /// The old state was walked to its end: what it did not read, or whose exact value did not matter, is free.
    No,
    /// Equal in everything but names: the mark of an endless loop.
    Yes,
    /// The old state is still being walked: everything counts, but ranges may be narrower.
    RangeWithin,
}

/// One comparison.
pub(crate) struct Compare<'a> {
    pub(crate) cfg: &'a Cfg,
    pub(crate) exact: Exact,
    /// Whether stack that was never written may be read.
    pub(crate) uninit_ok: bool,
    /// Last id given out.
    pub(crate) last_id: u32,
}

/// Pairs of ids that stand for each other in two states.
pub(crate) struct IdMap {
    pairs: Vec<(u32, u32)>,
    next: u32,
}

impl IdMap {
    /// No pairs; ids made up in the comparison come after `last`.
    pub(crate) fn new(last: u32) -> IdMap {
        IdMap { pairs: Vec::new(), next: last }
    }

    fn same(&mut self, old: u32, cur: u32) -> bool {
        if (old == 0) != (cur == 0) {
            return false;
        }
        if old == 0 {
            return true;
        }
        for &(o, c) in &self.pairs {
            if o == old {
                return c == cur;
            }
            if c == cur {
                return false;
            }
        }
        self.pairs.push((old, cur));
        true
    }

    /// Links between scalars: fewer in the old state are fine, as it relied on fewer.
    fn same_scalar(&mut self, old: u32, cur: u32) -> bool {
        if old == 0 {
            return true;
        }
        let cur = if cur == 0 {
            self.next += 1;
            self.next
        } else {
            cur
        };
        self.same(old, cur) && (old & ADD_CONST == 0 || self.same(old & !ADD_CONST, cur & !ADD_CONST))
    }
}

impl Compare<'_> {
    /// Whether `old`, verified from instruction `at` on, covers `cur`.
    pub(crate) fn covers(&self, old: &State, cur: &State, at: u32) -> bool {
        let sections = (old.rcu_locks, old.preempt_locks) == (cur.rcu_locks, cur.preempt_locks);
        if old.top != cur.top || old.refs.len() != cur.refs.len() || !sections {
            return false;
        }
        let mut ids = IdMap::new(self.last_id);
        let same_lock = match (old.lock, cur.lock) {
            (None, None) => true,
            (Some(o), Some(c)) => (o.0, o.1) == (c.0, c.1) && ids.same(o.2, c.2),
            _ => false,
        };
        if !same_lock {
            return false;
        }
        for i in 0..=old.top {
            let (o, c) = (old.frame(i), cur.frame(i));
            let insn = if i == old.top { at } else { old.frame(i + 1).callsite };
            if o.callsite != c.callsite || o.callback_depth > c.callback_depth {
                return false;
            }
            let live = self.cfg.points[insn as usize].live;
            let mut regs = (0..11).filter(|r| live & 1 << r != 0 || *r == 10);
            if !regs.all(|r| self.reg_covers(&o.regs[r], &c.regs[r], &mut ids)) {
                return false;
            }
            if !self.stack_covers(o, c, &mut ids) {
                return false;
            }
        }
        old.refs.iter().zip(&cur.refs).all(|(o, c)| ids.same(o.id, c.id))
    }

    fn reg_covers(&self, old: &RegState, cur: &RegState, ids: &mut IdMap) -> bool {
        if self.exact == Exact::Yes {
            return exactly(old, cur, ids);
        }
        if old.kind == Kind::NotInit && (self.exact == Exact::No || cur.kind == Kind::NotInit) {
            return true;
        }
        if old.kind != cur.kind || old.flags != cur.flags {
            return false;
        }
        match old.kind {
            Kind::Scalar => {
                if !old.precise && self.exact == Exact::No {
                    return true;
                }
                let (old_add, cur_add) = (old.id & ADD_CONST, cur.id & ADD_CONST);
                if old.id != 0 && old_add != cur_add || old_add != 0 && old.off != cur.off {
                    return false;
                }
                ids.same_scalar(old.id, cur.id) && old.val.includes(&cur.val)
            }
            Kind::MapKey | Kind::MapValue | Kind::Mem | Kind::Buf | Kind::TpBuffer => {
                let place = |r: &RegState| (r.off, r.aux, r.uid, r.frame, r.range);
                place(old) == place(cur)
                    && old.val.includes(&cur.val)
                    && ids.same(old.id, cur.id)
                    && ids.same(old.ref_id, cur.ref_id)
            }
            Kind::Packet | Kind::PacketMeta => {
                let range = if old.range < 0 || cur.range < 0 {
                    old.range == cur.range
                } else {
                    old.range <= cur.range
                };
                range && old.off == cur.off && ids.same(old.id, cur.id) && old.val.includes(&cur.val)
            }
            Kind::Stack => exactly(old, cur, ids) && old.frame == cur.frame,
            Kind::NotInit
            | Kind::Ctx
            | Kind::Map
            | Kind::PacketEnd
            | Kind::Btf
            | Kind::Func
            | Kind::Socket
            | Kind::SockCommon
            | Kind::TcpSock
            | Kind::XdpSock
            | Kind::Dynptr
            | Kind::FlowKeys => exactly(old, cur, ids),
        }
    }

    fn stack_covers(&self, old: &Frame, cur: &Frame, ids: &mut IdMap) -> bool {
        old.stack.iter().enumerate().all(|(i, o)| {
            let c = cur.stack.get(i);
            if self.exact == Exact::No {
                if !o.read {
                    return true;
                }
            } else if c.is_none_or(|c| c.bytes != o.bytes) {
                return false;
            }
            match c {
                Some(c) => self.slot_covers(o, c, ids),
                // The current path never came so far down.
                None => o.bytes.iter().all(|b| *b == Byte::Invalid || *b == Byte::Misc && self.uninit_ok),
            }
        })
    }

    fn slot_covers(&self, old: &Slot, cur: &Slot, ids: &mut IdMap) -> bool {
        if old.bytes == [Byte::Invalid; 8] {
            return true;
        }
        if let (Some(o), Some(c)) = (self.as_scalar(old), self.as_scalar(cur)) {
            return self.reg_covers(&o, &c, ids);
        }
        for (o, c) in old.bytes.iter().zip(&cur.bytes) {
            match (o, c) {
                (Byte::Invalid, _) | (Byte::Misc, Byte::Zero) => {}
                (Byte::Misc, _) if self.uninit_ok => {}
                (o, c) if o == c => {}
                _ => return false,
            }
        }
        if old.is_iter() {
            // How often it gave a value does not matter: loops could not be closed otherwise.
            let body = |slot: &Slot| (slot.reg.flags, slot.reg.aux, slot.reg.uid);
            let same = body(old) == body(cur);
            return cur.is_iter() && same && ids.same(old.reg.ref_id, cur.reg.ref_id);
        }
        if old.is_dynptr() {
            let same = (old.reg.aux, old.reg.uid) == (cur.reg.aux, cur.reg.uid);
            return cur.is_dynptr() && same && ids.same(old.reg.ref_id, cur.reg.ref_id);
        }
        // The lowest byte tells whether the slot holds a spill; where it is free in the old state, so is the register.
        old.bytes[7] != Byte::Spill || self.reg_covers(&old.reg, &cur.reg, ids)
    }

    /// The slot as one number, where it is one.
    fn as_scalar(&self, slot: &Slot) -> Option<RegState> {
        if slot.is_full_spill() && slot.is_scalar_spill() {
            return Some(slot.reg);
        }
        let misc = |b: &Byte| *b == Byte::Misc || *b == Byte::Invalid && self.uninit_ok;
        slot.bytes.iter().all(misc).then_some(RegState::UNKNOWN)
    }
}

/// Whether the running frames have the very same registers: cheap, before asking whether the whole state is equal.
pub(crate) fn may_be_looping(old: &State, cur: &State) -> bool {
    let plain = |r: &RegState| RegState { precise: false, frame: 0, ..*r };
    old.top == cur.top && old.cur().regs.iter().zip(&cur.cur().regs).all(|(o, c)| plain(o) == plain(c))
}

/// Whether an iterator gave a value between the two states.
pub(crate) fn iterators_moved(old: &State, cur: &State) -> bool {
    (0..=old.top).any(|f| {
        let slots = old.frame(f).stack.iter().zip(&cur.frame(f).stack);
        slots.filter(|(o, _)| o.is_active_iter()).any(|(o, c)| o.reg.range != c.reg.range)
    })
}

/// Equal in everything but names.
pub(crate) fn exactly(old: &RegState, cur: &RegState, ids: &mut IdMap) -> bool {
    old.body() == cur.body() && ids.same(old.id, cur.id) && ids.same(old.ref_id, cur.ref_id)
}
