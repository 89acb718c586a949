//! Events: records in the ring buffer, written in place.

use super::{Lower, Mem, Val};
use crate::typed::{Expr, ExprKind};
use bpf_facts::HelperId;
use ebpf_asm::Size;
use hark_diag::Span;
use hark_object::{EVENT_HEADER, EventKind, Field, Loss, Ty};

impl Lower<'_> {
    /// The fields of a record that holds values of these types, and its size.
    pub(crate) fn record_layout(types: &[Ty]) -> (Vec<Field>, u32) {
        let mut at = EVENT_HEADER;
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
        let types: Vec<Ty> = args.iter().map(|e| e.ty.ty(self.types)).collect();
        let (fields, size) = Self::record_layout(&types);
        // Scalars, and everything that may leave the program or do more than write memory, come before the record
        // is reserved: a reserved record must be submitted on every path.
        let early: Vec<Option<Val>> = args
            .iter()
            .map(|e| if e.ty.is_scalar() || !writes_in_place(e) { Some(self.eval(e, None)) } else { None })
            .collect();
        let event = self.shared.event(kind(fields.clone()), size, span);
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

    /// The number of an event.
    pub(crate) fn event_id(&mut self, kind: EventKind, size: u32, span: Span) -> u32 {
        self.shared.event(kind, size, span)
    }

    /// Reserves a record, lets `fill` write it, submits it. A full ring is counted.
    pub(crate) fn with_record(&mut self, event: u32, size: u32, fill: impl FnOnce(&mut Self, Mem)) {
        let ring = self.shared.ring();
        let (ring, bytes, flags) = (self.b.map(ring), self.b.iconst(i64::from(size)), self.b.iconst(0));
        let record = self.b.call(HelperId::RINGBUF_RESERVE, &[ring, bytes, flags]);
        let (filled, full, next) = (self.b.create_block(), self.b.create_cold_block(), self.b.create_block());
        self.b.branch_nonzero(record, filled, full);
        self.b.seal_and_switch(full);
        self.count_loss(Loss::RingFull);
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

    /// An event without fields.
    pub(crate) fn send_plain(&mut self, span: Span, kind: EventKind) {
        let event = self.shared.event(kind, EVENT_HEADER, span);
        self.with_record(event, EVENT_HEADER, |_, _| {});
    }

    /// An event that only names a map, at the current position.
    pub(crate) fn async_map(&mut self, kind: EventKind) {
        let span = self.here();
        self.send_plain(span, kind);
    }

    /// A warning that the script's author should see while it runs.
    pub(crate) fn runtime_warning(&mut self, text: &'static str, span: Span) {
        self.send_plain(span, EventKind::RuntimeWarning(text.into()));
    }
}

/// Whether evaluating only writes the destination: no control flow that could leave, no other events.
fn writes_in_place(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Call(call) => call.args.iter().all(writes_in_place),
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
