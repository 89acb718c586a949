//! Events: records in the ring buffer, written in place.

use super::{Lower, Mem, Val};
use crate::typed::{Expr, ExprKind};
use bpf_facts::{HelperId, RING_PRODUCER_POSITION};
use ebpf_asm::{AtomicOp, MapRef, Size};
use ebpf_codegen::ir::{BinOp, InstData, Value};
use hark_diag::Span;
use hark_object::{CONTROL_HEADER, CONTROL_POSITION, EVENT_HEADER, EventKind, FailureSite, Field, Loss, Ty};

impl Lower<'_> {
    /// The fields of a record that holds values of these types from byte `from` on, and its size.
    pub(crate) fn record_layout(from: u32, types: &[Ty]) -> (Vec<Field>, u32) {
        let mut at = from;
        let fields = types
            .iter()
            .map(|ty| {
                let layout = ty.layout();
                let offset = at.next_multiple_of(layout.align);
                // Reading text writes one byte behind it.
                let spare = u32::from(matches!(ty, Ty::Str { .. }));
                at = offset + layout.size + spare;
                Field { offset, ty: ty.clone() }
            })
            .collect();
        (fields, at.next_multiple_of(8))
    }

    /// Sends an event. Arguments are evaluated in order; those that are no scalars are written into the record.
    pub(crate) fn send(&mut self, span: Span, args: &[&Expr], kind: impl FnOnce(Vec<Field>) -> EventKind) {
        let (fields, size) = self.fields(EVENT_HEADER, args);
        let event = self.shared.event(kind(fields.clone()), size, span);
        let early = self.evaluate_early(args);
        self.with_record(event, size, |cx, record| {
            for ((e, field), early) in args.iter().zip(&fields).zip(early) {
                let at = record.plus(field.offset);
                match early {
                    Some(Val::Scalar(value)) => cx.store(value, at, &e.ty),
                    Some(Val::Mem(mem)) => cx.copy(at, mem, field.ty.layout().size),
                    Some(Val::None) => {}
                    None => cx.into(e, at),
                }
            }
        });
    }

    fn fields(&self, from: u32, args: &[&Expr]) -> (Vec<Field>, u32) {
        let types: Vec<Ty> = args.iter().map(|e| e.ty.ty(self.types)).collect();
        Self::record_layout(from, &types)
    }

    /// Scalars, and everything that may leave the program or do more than write memory, come before the record is
    /// reserved: a reserved record must be submitted on every path.
    fn evaluate_early(&mut self, args: &[&Expr]) -> Vec<Option<Val>> {
        args.iter()
            .map(|e| if e.ty.is_scalar() || !writes_in_place(e) { Some(self.eval(e, None)) } else { None })
            .collect()
    }

    /// The number of an event.
    pub(crate) fn event_id(&mut self, kind: EventKind, size: u32, span: Span) -> u32 {
        self.shared.event(kind, size, span)
    }

    /// Reserves a record, lets `fill` write it, submits it. A full ring is counted.
    pub(crate) fn with_record(&mut self, event: u32, size: u32, fill: impl FnOnce(&mut Self, Mem)) {
        let ring = self.shared.ring();
        self.reserve(ring, event, size, |cx| cx.count_loss(Loss::RingFull), fill);
    }

    /// Reserves a record; writes it by `fill` and submits it, or does what `full` says.
    fn reserve(
        &mut self,
        ring: MapRef,
        event: u32,
        size: u32,
        full: impl FnOnce(&mut Self),
        fill: impl FnOnce(&mut Self, Mem),
    ) {
        let (ring, bytes, flags) = (self.b.map(ring), self.b.iconst(i64::from(size)), self.b.iconst(0));
        let record = self.b.call(HelperId::RINGBUF_RESERVE, &[ring, bytes, flags]);
        let (filled, none, next) = (self.b.create_block(), self.b.create_cold_block(), self.b.create_block());
        self.b.branch_nonzero(record, filled, none);
        self.b.seal_and_switch(none);
        full(self);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(filled);
        let id = self.b.iconst(i64::from(event));
        self.b.store(Size::Dw, id, record, 0);
        fill(self, Mem { loose: true, ..Mem::at(record) });
        let flags = self.b.iconst(0);
        self.b.call_void(HelperId::RINGBUF_SUBMIT, &[record, flags]);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
    }

    /// Tells user space to do something. That has a ring of its own; where even that is full, a word remembers it.
    pub(crate) fn command(&mut self, span: Span, args: &[&Expr], kind: impl FnOnce(Vec<Field>) -> EventKind) {
        let (fields, size) = self.fields(CONTROL_HEADER, args);
        let kind = kind(fields.clone());
        let exits = matches!(kind, EventKind::Exit(_));
        let event = self.shared.event(kind, size, span);
        let words: Vec<Value> = args.iter().map(|e| self.scalar(e)).collect();
        // What is reserved from here on stands behind that position.
        let data = self.shared.ring();
        let (data, which) = (self.b.map(data), self.b.iconst(RING_PRODUCER_POSITION));
        let position = self.b.call(HelperId::RINGBUF_QUERY, &[data, which]);
        let ring = self.shared.control_ring();
        let code = words.first().copied();
        let full = |cx: &mut Self| cx.remember(event, exits.then_some(code));
        self.reserve(ring, event, size, full, |cx, record| {
            cx.store_word(position, record.plus(CONTROL_POSITION));
            for ((e, field), word) in args.iter().zip(&fields).zip(words) {
                cx.store(word, record.plus(field.offset), &e.ty);
            }
        });
    }

    /// Leaves word of a control event; of `exit`, with its code.
    fn remember(&mut self, event: u32, exit: Option<Option<Value>>) {
        let map = self.shared.pending();
        let ptr = self.b.value(InstData::MapValueAddr(map, event * 8));
        let one = self.b.iconst(1);
        if let Some(code) = exit {
            let word = match code {
                Some(code) => self.b.binary(BinOp::Add, code, one),
                None => one,
            };
            let low = self.b.iconst(i64::from(u32::MAX));
            let word = self.b.binary(BinOp::And, word, low);
            // 0 says that nothing was asked for: code -1 is told by the bit above.
            let mark = self.b.iconst(1 << 32);
            let word = self.b.binary(BinOp::Or, word, mark);
            return self.b.store(Size::Dw, word, ptr, 0);
        }
        self.add_one(ptr);
    }

    /// Adds 1 to a word.
    pub(super) fn add_one(&mut self, ptr: Value) {
        let (op, size, value) = (AtomicOp::Add, Size::Dw, self.b.iconst(1));
        self.b.inst(InstData::Atomic { op, size, fetch: false, value, ptr, off: 0 });
    }

    /// An event without fields.
    pub(crate) fn send_plain(&mut self, span: Span, kind: EventKind) {
        let event = self.shared.event(kind, EVENT_HEADER, span);
        self.with_record(event, EVENT_HEADER, |_, _| {});
    }

    /// A control event that only names a map, at the current position.
    pub(crate) fn async_map(&mut self, kind: EventKind) {
        let span = self.here();
        self.command(span, &[], |_| kind);
    }

    /// Counts a failure of a helper at the current position, and keeps what it returned, for user space to see.
    pub(crate) fn report_failure(&mut self, result: Value, loss: Option<Loss>, helper: HelperId) {
        let helper = bpf_facts::helper(helper).map_or("", |def| def.name).into();
        let site = FailureSite { helper, loss, program: self.program, span: self.here() };
        if self.unit.context.preemptible {
            // Failures of its scratch memory are counted there.
            self.shared.losses(self.script.units.len() as u32);
        }
        let (map, offset) = self.shared.failure(site);
        let ptr = self.b.value(InstData::MapValueAddr(map, offset));
        self.b.store(Size::W, result, ptr, FailureSite::RESULT as i32);
        self.add_one(ptr);
    }

    /// A warning that the script's author should see while it runs.
    pub(crate) fn runtime_warning(&mut self, text: &'static str, span: Span) {
        self.send_plain(span, EventKind::RuntimeWarning(text.into()));
    }
}

/// Whether evaluating only writes the destination: no control flow that could leave, no other events.
fn writes_in_place(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Call(call) => !call.builtin.calls_back() && call.args.iter().all(writes_in_place),
        ExprKind::Str(_)
        | ExprKind::Int(_)
        | ExprKind::Var(_)
        | ExprKind::Arg(_)
        | ExprKind::Args
        | ExprKind::MapGet(..) => true,
        ExprKind::Field { base, .. }
        | ExprKind::Deref(base)
        | ExprKind::Convert(base)
        | ExprKind::Member(base, _) => writes_in_place(base),
        ExprKind::Tuple(members) => members.iter().all(writes_in_place),
        _ => false,
    }
}
