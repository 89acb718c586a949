//! Jumps, and what their outcome tells.

use super::branch;
use crate::bounds::Bounds;
use crate::era::{Change, Era};
use crate::explore::{Flow, Walk};
use crate::precise::{Linked, Place};
use crate::prune::{IdMap, exactly};
use crate::rules::Check;
use crate::state::{
    ADD_CONST, ADD_CONST32, AT_PKT_END, BEYOND_PKT_END, CheckpointId, Flags, Kind, RegState, State,
};
use ebpf_asm::{Cond, Operand, Reg, Width};

/// Largest offset in a packet.
const MAX_PACKET_OFF: u64 = 0xffff;

impl Walk<'_> {
    pub(crate) fn jump_if(&mut self, w: Width, cond: Cond, lhs: Reg, rhs: Operand, to: u32) -> Check<Flow> {
        let a = self.read(lhs)?;
        let b = match rhs {
            Operand::Reg(r) => self.read(r)?,
            Operand::Imm(imm) => RegState::constant(imm as i64 as u64),
        };
        if a.kind == Kind::Stack || b.kind == Kind::Stack {
            let step = self.open_step();
            (step.lhs_stack, step.rhs_stack) = (a.kind == Kind::Stack, b.kind == Kind::Stack);
        }
        if let Some(taken) = self.outcome(w, cond, lhs, &a, &b, rhs) {
            if a.is_scalar() {
                self.mark_precise(lhs);
            }
            if let Operand::Reg(r) = rhs
                && b.is_scalar()
            {
                self.mark_precise(r);
            }
            return Ok(if taken { Flow::To(to) } else { Flow::Next });
        }
        let mut linked = Linked::default();
        if let Operand::Reg(_) = rhs
            && b.is_scalar()
            && b.id != 0
        {
            self.collect_linked(b.group(), &mut linked);
        }
        if a.is_scalar()
            && a.id != 0
            && !(matches!(rhs, Operand::Reg(_)) && b.is_scalar() && a.group() == b.group())
        {
            self.collect_linked(a.group(), &mut linked);
        }
        if linked.items().len() > 1 {
            self.open_step().linked = linked;
        }
        self.fork(to)?;
        let mut other = self.take_fork();
        if a.is_scalar() && b.is_scalar() {
            for (st, holds) in [(&mut self.st, false), (&mut other, true)] {
                narrow(self.env.era, st, w, cond, holds, lhs, rhs, &linked);
            }
        }
        self.narrow_pointers(w, cond, lhs, rhs, &a, &b, &mut other);
        self.put_fork(other);
        Ok(Flow::Next)
    }

    /// The outcome, if it is known.
    fn outcome(
        &self,
        w: Width,
        cond: Cond,
        lhs: Reg,
        a: &RegState,
        b: &RegState,
        rhs: Operand,
    ) -> Option<bool> {
        let packet = |r: &RegState| r.kind.is_packet() || r.kind == Kind::PacketEnd;
        if packet(a) && packet(b) && w == Width::W64 {
            return packet_outcome(cond, a, b);
        }
        if a.is_scalar() && rhs == Operand::Reg(lhs) && self.env.era.has(Change::SameRegister) {
            match cond {
                Cond::Eq | Cond::Ge | Cond::Le | Cond::Sge | Cond::Sle => return Some(true),
                Cond::Ne | Cond::Gt | Cond::Lt | Cond::Sgt | Cond::Slt => return Some(false),
                Cond::Set => {}
            }
        }
        if a.is_scalar() && b.is_scalar() {
            return branch::outcome(self.env.era, w, cond, &a.val, &b.val);
        }
        let older = !self.env.era.has(Change::RegRegRefine);
        if older && rhs != Operand::Imm(0) {
            return None;
        }
        // A pointer that is not NULL against the constant 0. Its low half may well be 0.
        let (ptr, number) = if b.is_scalar() { (a, b) } else { (b, a) };
        if w == Width::W32 || number.as_const() != Some(0) || !is_not_null(self.env.era, ptr) {
            return None;
        }
        match cond {
            Cond::Eq => Some(false),
            Cond::Ne => Some(true),
            Cond::Gt
            | Cond::Ge
            | Cond::Lt
            | Cond::Le
            | Cond::Sgt
            | Cond::Sge
            | Cond::Slt
            | Cond::Sle
            | Cond::Set => None,
        }
    }

    /// Registers and spills of one group. Those without room are no longer linked.
    fn collect_linked(&mut self, group: u32, linked: &mut Linked) {
        let mut crowded = false;
        for f in (0..=self.st.top).rev() {
            let frame = self.st.frame(f);
            let is_member = |r: &RegState| r.is_scalar() && r.id != 0 && r.group() == group;
            for (i, reg) in frame.regs.iter().enumerate().take(10) {
                if is_member(reg) {
                    crowded |= !linked.push(Place { frame: f, is_reg: true, index: i as u8 });
                }
            }
            for (i, slot) in frame.stack.iter().enumerate() {
                if slot.is_spill() && is_member(&slot.reg) {
                    crowded |= !linked.push(Place { frame: f, is_reg: false, index: i as u8 });
                }
            }
        }
        if crowded {
            self.unlink_others(group, linked);
        }
    }

    fn unlink_others(&mut self, group: u32, linked: &Linked) {
        for f in 0..=self.st.top {
            let frame = self.st.frame_mut(f);
            let is_member = |r: &RegState| r.is_scalar() && r.id != 0 && r.group() == group;
            for (i, reg) in frame.regs.iter_mut().enumerate().take(10) {
                if is_member(reg)
                    && !linked.items().contains(&Place { frame: f, is_reg: true, index: i as u8 })
                {
                    reg.unlink();
                }
            }
            for (i, slot) in frame.stack.iter_mut().enumerate() {
                let here = Place { frame: f, is_reg: false, index: i as u8 };
                if slot.is_spill() && is_member(&slot.reg) && !linked.items().contains(&here) {
                    slot.reg.unlink();
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an instruction and what its operands hold")]
    fn narrow_pointers(
        &mut self,
        w: Width,
        cond: Cond,
        lhs: Reg,
        rhs: Operand,
        a: &RegState,
        b: &RegState,
        taken: &mut State,
    ) {
        if w == Width::W32 {
            return;
        }
        if let Operand::Reg(r) = rhs
            && self.env.era.has(Change::EqualPointersNotNull)
            && a.is_pointer()
            && b.is_pointer()
            && a.may_be_null() != b.may_be_null()
            && a.kind != Kind::Btf
            && b.kind != Kind::Btf
        {
            let nullable = if b.may_be_null() { r } else { lhs };
            match cond {
                Cond::Eq => self.make_not_null(taken, nullable),
                Cond::Ne => {
                    let mut st =
                        std::mem::replace(&mut self.st, State::new(crate::state::Frame::new(0, u32::MAX, 0)));
                    self.make_not_null(&mut st, nullable);
                    self.st = st;
                }
                _ => {}
            }
        }
        if rhs == Operand::Imm(0) && matches!(cond, Cond::Eq | Cond::Ne) && a.may_be_null() {
            let maps = &self.env.maps;
            null_known(&mut self.st, lhs, cond == Cond::Ne, maps);
            null_known(taken, lhs, cond == Cond::Eq, maps);
            return;
        }
        if let Operand::Reg(r) = rhs {
            narrow_packets(cond, lhs, r, a, b, &mut self.st, taken);
        }
    }

    fn make_not_null(&self, st: &mut State, r: Reg) {
        let maps = &self.env.maps;
        not_null(st.reg_mut(r), maps);
    }

    pub(crate) fn may_goto(&mut self, to: u32) -> Check<Flow> {
        let before = self.st.parent.and_then(|id| self.previous_visit_before(id, self.pc));
        let next = self.pc + 1;
        self.fork(next)?;
        let mut again = self.take_fork();
        again.may_goto_depth += 1;
        if let Some(before) = before {
            widen(&self.checkpoint(before).st, &mut again);
        }
        self.put_fork(again);
        Ok(Flow::To(to))
    }

    pub(crate) fn previous_visit_before(&self, id: CheckpointId, insn: u32) -> Option<CheckpointId> {
        let mut parent = self.checkpoint(id).st.parent;
        while let Some(id) = parent {
            let checkpoint = self.checkpoint(id);
            if checkpoint.insn == insn && crate::explore::same_callsites(&checkpoint.st, &self.st) {
                return Some(id);
            }
            parent = checkpoint.st.parent;
        }
        None
    }
}

/// Forgets numbers that changed since `old` and did not matter so far, so that going round once more finds nothing new.
pub(crate) fn widen(old: &State, cur: &mut State) {
    let mut ids = IdMap::new(0);
    let mut changed = |o: &RegState, c: &RegState| {
        o.is_scalar() && c.is_scalar() && !o.precise && !c.precise && !exactly(o, c, &mut ids)
    };
    for f in (0..=old.top).rev() {
        let fold = old.frame(f);
        let frame = cur.frame_mut(f);
        for (o, c) in fold.regs.iter().zip(&mut frame.regs) {
            if changed(o, c) {
                *c = RegState::UNKNOWN;
            }
        }
        for (o, c) in fold.stack.iter().zip(&mut frame.stack) {
            if o.is_spill() && c.is_spill() && changed(&o.reg, &c.reg) {
                c.reg = RegState::UNKNOWN;
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "an instruction and where it leads")]
fn narrow(
    era: Era,
    st: &mut State,
    w: Width,
    cond: Cond,
    holds: bool,
    lhs: Reg,
    rhs: Operand,
    linked: &Linked,
) {
    let mut a = *st.reg(lhs);
    let mut b = match rhs {
        Operand::Reg(r) => *st.reg(r),
        Operand::Imm(imm) => RegState::constant(imm as i64 as u64),
    };
    if rhs == Operand::Reg(lhs) {
        branch::assume_same(era, w, cond, holds, &mut a.val);
    } else {
        branch::assume(era, w, cond, holds, &mut a.val, &mut b.val);
    }
    a.val.heal();
    b.val.heal();
    *st.reg_mut(lhs) = a;
    if let Operand::Reg(r) = rhs
        && r != lhs
    {
        *st.reg_mut(r) = b;
        if b.id != 0 {
            sync_linked(era, st, &b, Place { frame: st.top, is_reg: true, index: r.index() }, linked);
        }
    }
    let a = *st.reg(lhs);
    if a.id != 0 {
        sync_linked(era, st, &a, Place { frame: st.top, is_reg: true, index: lhs.index() }, linked);
    }
}

/// What is known of one number is known of those linked to it.
fn sync_linked(era: Era, st: &mut State, known: &RegState, at: Place, linked: &Linked) {
    for place in linked.items() {
        if *place == at {
            continue;
        }
        let frame = st.frame_mut(place.frame);
        let reg = if place.is_reg {
            &mut frame.regs[usize::from(place.index)]
        } else {
            &mut frame.stack[usize::from(place.index)].reg
        };
        if !reg.is_scalar() || reg.id == 0 || reg.group() != known.group() {
            continue;
        }
        // Sums of different widths have no constant distance.
        if (reg.id ^ known.id) & ADD_CONST == ADD_CONST {
            continue;
        }
        let unmarked = (reg.id | known.id) & ADD_CONST == 0;
        if unmarked || reg.off == known.off {
            *reg = *known;
        } else {
            let narrow = (reg.id | known.id) & ADD_CONST32 != 0;
            let delta = i64::from(reg.off) - i64::from(known.off);
            let val: Bounds = super::arithmetic::offset_by(era, &known.val, delta, narrow);
            *reg = RegState { off: reg.off, id: reg.id, val, ..*known };
        }
    }
}

/// Whether the verifier takes the pointer not to be NULL.
fn is_not_null(era: Era, r: &RegState) -> bool {
    if r.may_be_null() {
        return false;
    }
    let newer = era.has(Change::RegRegRefine);
    match r.kind {
        Kind::Socket | Kind::TcpSock | Kind::SockCommon | Kind::MapValue => true,
        Kind::Mem => newer && !r.is_untrusted_mem(),
        Kind::MapKey | Kind::Map => newer,
        Kind::Btf => newer && (r.flags.has(Flags::TRUSTED) || r.ref_id != 0),
        Kind::NotInit
        | Kind::Scalar
        | Kind::Ctx
        | Kind::Stack
        | Kind::Packet
        | Kind::PacketMeta
        | Kind::PacketEnd
        | Kind::Buf
        | Kind::Func
        | Kind::TpBuffer
        | Kind::XdpSock
        | Kind::Dynptr
        | Kind::FlowKeys => false,
    }
}

fn packet_outcome(cond: Cond, a: &RegState, b: &RegState) -> Option<bool> {
    let (pkt, cond) = if b.kind == Kind::PacketEnd {
        (a, cond)
    } else if a.kind == Kind::PacketEnd {
        (b, branch::flip(cond))
    } else {
        return None;
    };
    match cond {
        Cond::Le | Cond::Gt if pkt.range == BEYOND_PKT_END => Some(cond == Cond::Gt),
        Cond::Lt | Cond::Ge if pkt.range == BEYOND_PKT_END || pkt.range == AT_PKT_END => {
            Some(cond == Cond::Ge)
        }
        _ => None,
    }
}

/// A pointer known not to be NULL; a map looked up in a map becomes the map.
fn not_null(reg: &mut RegState, maps: &[crate::env::Map<'_>]) {
    if reg.kind == Kind::MapValue {
        use bpf_facts::MapType;
        let map = maps[reg.aux as usize];
        if let Some(inner) = map.inner {
            reg.kind = Kind::Map;
            reg.aux = inner;
            reg.uid = reg.id;
        } else {
            match map.shape.ty {
                MapType::Xskmap => reg.kind = Kind::XdpSock,
                MapType::Sockmap | MapType::Sockhash => reg.kind = Kind::Socket,
                _ => {}
            }
        }
    }
    reg.flags = reg.flags.without(Flags::MAYBE_NULL);
}

/// All copies of the pointer in `r` are NULL, or are not.
fn null_known(st: &mut State, r: Reg, is_null: bool, maps: &[crate::env::Map<'_>]) {
    let RegState { id, ref_id, .. } = *st.reg(r);
    if is_null && ref_id != 0 && ref_id == id {
        st.refs.retain(|reference| reference.id != ref_id);
    }
    st.update_regs(
        |reg| reg.may_be_null() && reg.id == id,
        |reg| {
            if is_null {
                *reg = RegState {
                    id: 0,
                    ref_id: 0,
                    flags: Flags::NONE,
                    kind: Kind::Scalar,
                    precise: false,
                    off: 0,
                    aux: 0,
                    range: 0,
                    uid: 0,
                    ..*reg
                };
            } else {
                not_null(reg, maps);
                // Values with a lock are told apart by it.
                let locked = reg.kind == Kind::MapValue
                    && maps[reg.aux as usize]
                        .shape
                        .special
                        .iter()
                        .any(|field| field.kind == crate::SpecialKind::SpinLock);
                if !locked {
                    reg.id = 0;
                }
            }
        },
    );
}

/// Comparisons of packet data with the packet's end, or of metadata with the beginning of data.
fn narrow_packets(
    cond: Cond,
    lhs: Reg,
    rhs: Reg,
    a: &RegState,
    b: &RegState,
    here: &mut State,
    taken: &mut State,
) {
    let start = |r: &RegState| r.kind == Kind::Packet && r.id == 0 && r.off == 0 && r.val.is_zero();
    let left = a.kind == Kind::Packet && b.kind == Kind::PacketEnd || a.kind == Kind::PacketMeta && start(b);
    let right = a.kind == Kind::PacketEnd && b.kind == Kind::Packet || start(a) && b.kind == Kind::PacketMeta;
    // Seen from the packet pointer: `pkt cond end`.
    let (pkt, reg, cond) = if left {
        (a, lhs, cond)
    } else if right {
        (b, rhs, branch::flip(cond))
    } else {
        return;
    };
    let (inside, outside, strict) = match cond {
        Cond::Gt => (here, taken, false),
        Cond::Le => (taken, here, false),
        Cond::Lt => (taken, here, true),
        Cond::Ge => (here, taken, true),
        _ => return,
    };
    extend_range(inside, pkt, strict);
    // On the other side the pointer is beyond the end; after `<` and `>=` it may be right at it.
    if outside.reg(reg).kind == Kind::Packet {
        outside.reg_mut(reg).range = if strict { AT_PKT_END } else { BEYOND_PKT_END };
    }
}

fn extend_range(st: &mut State, pkt: &RegState, strict: bool) {
    if pkt.off < 0 || pkt.off == 0 && strict {
        return;
    }
    let reach = pkt.val.umax.checked_add(pkt.off as u64);
    if pkt.val.umax > MAX_PACKET_OFF || reach.is_none_or(|r| r > MAX_PACKET_OFF) {
        return;
    }
    let range = pkt.off + i32::from(strict);
    st.update_regs(|r| r.kind == pkt.kind && r.id == pkt.id, |r| r.range = r.range.max(range));
}
