//! Aggregations: how each is updated on the CPU it happens on, and read across CPUs.

use super::maps::{ANY, NOEXIST};
use super::{Lower, Mem};
use crate::typed::{Expr, MapId};
use bpf_facts::{Feature, HelperId};
use ebpf_asm::{AtomicOp, Size};
use ebpf_codegen::ir::{BinOp, Block, Cond, InstData, Type as IrType, UnOp, Value, Variable};
use hark_diag::Span;
use hark_object::Loss;
use hark_object::agg::{Agg, SeriesFn, hist_buckets, lhist_buckets};

impl Lower<'_> {
    /// `@m[k] = count()` and its kin.
    pub(super) fn aggregate(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        agg: Agg,
        value: Option<&Expr>,
        extra: &[Expr],
    ) {
        let word = value.map(|v| self.scalar(v));
        let times = extra.first().map(|v| self.scalar(v));
        let scalar_map = key.is_none();
        let key = self.key(map, key);
        let found = self.lookup(map, key);
        let at = self.b.declare_var(IrType::Ptr);
        self.b.def_var(at, found);
        let (hit, next) = (self.b.create_block(), self.b.create_block());
        if self.is_certain(map) {
            self.b.jump(hit, &[]);
        } else if scalar_map {
            self.b.branch_nonzero(found, hit, next);
        } else {
            let miss = self.b.create_block();
            self.b.branch_nonzero(found, hit, miss);
            self.b.seal_and_switch(miss);
            self.first_on_key(map, key, (agg, word), (at, hit, next));
        }
        self.b.seal_and_switch(hit);
        let value = Mem::at(self.b.use_var(at));
        self.apply(agg, value, word, times);
        if scalar_map {
            self.mark_present(map, value);
        }
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
    }

    /// Makes the value of a key that has none, and other CPUs' values zero with it. Goes on at `next` if that is
    /// all; at `hit`, with the value's address in `at`, if the event is still to be added.
    fn first_on_key(
        &mut self,
        map: MapId,
        key: Mem,
        (agg, word): (Agg, Option<Value>),
        (at, hit, next): (Variable, Block, Block),
    ) {
        let size = self.shared.maps[map.0 as usize].value_size;
        let full = self.b.create_cold_block();
        let updated = self.b.declare_var(IrType::I64);
        if let Some(direct) = self.first_value(agg, word) {
            // The first value is known without looking at what is there: one helper call less.
            let first = self.new_bytes(size);
            self.zero(first, size);
            for (offset, value) in direct {
                self.b.store(Size::Dw, value, first.ptr, first.off + offset);
            }
            let result = self.update(map, key, first, ANY);
            self.b.def_var(updated, result);
            let zero = self.b.iconst(0);
            self.b.branch(Cond::Slt, result, zero, full, next);
        } else {
            let zeroes = self.shared.zeroes(size);
            let zeroes = Mem::at(self.b.value(InstData::MapValueAddr(zeroes, 0)));
            let result = self.update(map, key, zeroes, NOEXIST);
            self.b.def_var(updated, result);
            let again = self.lookup(map, key);
            self.b.def_var(at, again);
            self.b.branch_nonzero(again, hit, full);
        }
        self.b.seal_and_switch(full);
        let result = self.b.use_var(updated);
        self.report_failure(result, Some(Loss::MapFull), HelperId::MAP_UPDATE_ELEM);
        self.b.jump(next, &[]);
    }

    /// The words of a value that holds this one event; `None` where they are not simply known.
    fn first_value(&mut self, agg: Agg, word: Option<Value>) -> Option<Vec<(i32, Value)>> {
        let one = self.b.iconst(1);
        match agg {
            Agg::Count => Some(vec![(0, one)]),
            Agg::Sum { .. } => Some(vec![(0, word?)]),
            Agg::Min { .. } | Agg::Max { .. } | Agg::Avg { .. } | Agg::Stats { .. } => {
                Some(vec![(0, word?), (8, one)])
            }
            Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Tseries { .. } => None,
        }
    }

    /// Adds to a word of this CPU's value. Atomically where another program may come in between on the same CPU.
    fn bump(&mut self, at: Mem, value: Value) {
        if self.script.units.iter().any(|u| u.context.preemptible) {
            self.b.inst(InstData::Atomic {
                op: AtomicOp::Add,
                size: Size::Dw,
                fetch: false,
                value,
                ptr: at.ptr,
                off: at.off,
            });
        } else {
            let old = self.b.load(Size::Dw, at.ptr, at.off);
            let new = self.b.binary(BinOp::Add, old, value);
            self.store_word(new, at);
        }
    }

    fn apply(&mut self, agg: Agg, at: Mem, word: Option<Value>, times: Option<Value>) {
        let one = self.b.iconst(1);
        let word = word.unwrap_or(one);
        let times = times.unwrap_or(one);
        match agg {
            Agg::Count => self.bump(at, one),
            Agg::Sum { .. } => self.bump(at, word),
            Agg::Avg { .. } | Agg::Stats { .. } => {
                self.bump(at, word);
                self.bump(at.plus(8), one);
            }
            Agg::Min { signed } => self.extreme(at, word, if signed { Cond::Slt } else { Cond::Ult }),
            Agg::Max { signed } => self.extreme(at, word, if signed { Cond::Sgt } else { Cond::Ugt }),
            Agg::Hist { k } => {
                let index = self.hist_index(word, k);
                self.bump_bucket(at, index, hist_buckets(k), times);
            }
            Agg::Lhist { min, max, step } => {
                let index = self.lhist_index(word, min, max, step);
                self.bump_bucket(at, index, lhist_buckets(min, max, step) + 2, times);
            }
            Agg::Tseries { interval_ns, n, fun, signed } => {
                self.series(at, word, (interval_ns, n, fun, signed))
            }
        }
    }

    /// Keeps `word` if there is none yet or it is more extreme.
    fn extreme(&mut self, at: Mem, word: Value, cond: Cond) {
        let set = self.b.load(Size::Dw, at.ptr, at.off + 8);
        let (compare, keep, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.branch_nonzero(set, compare, keep);
        self.b.seal_and_switch(compare);
        let old = self.b.load(Size::Dw, at.ptr, at.off);
        self.b.branch(cond, word, old, keep, next);
        self.b.seal_and_switch(keep);
        self.store_word(word, at);
        let one = self.b.iconst(1);
        self.store_word(one, at.plus(8));
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
    }

    fn bump_bucket(&mut self, at: Mem, index: Value, buckets: u32, times: Value) {
        // The verifier cannot follow the arithmetic: show it the bound.
        let (inside, next) = (self.b.create_block(), self.b.create_block());
        let limit = self.b.iconst(i64::from(buckets));
        self.b.branch(Cond::Ult, index, limit, inside, next);
        self.b.seal_and_switch(inside);
        let offset = self.b.binary_imm(BinOp::Shl, index, 3);
        let ptr = self.b.ptr_add(at.ptr, offset);
        self.bump(Mem { ptr, ..at }, times);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
    }

    /// [`hark_object::agg::hist_index`] as code.
    fn hist_index(&mut self, value: Value, k: u8) -> Value {
        let result = self.b.declare_var(IrType::I64);
        let (negative, other, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let zero = self.b.iconst(0);
        self.b.def_var(result, zero);
        self.b.branch(Cond::Slt, value, zero, negative, other);
        self.b.seal_and_switch(negative);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(other);
        if k == 0 {
            // 0 is bucket 1, 1 is bucket 2, 2 and 3 are bucket 3: one more than the logarithm of twice the value and
            // one.
            let twice = self.b.binary_imm(BinOp::Shl, value, 1);
            let odd = self.b.binary_imm(BinOp::Or, twice, 1);
            let exponent = self.floor_log2(odd);
            let bucket = self.b.binary_imm(BinOp::Add, exponent, 1);
            self.b.def_var(result, bucket);
        } else {
            let (small, large) = (self.b.create_block(), self.b.create_block());
            let bound = self.b.iconst(1 << k);
            self.b.branch(Cond::Ult, value, bound, small, large);
            self.b.seal_and_switch(small);
            let bucket = self.b.binary_imm(BinOp::Add, value, 1);
            self.b.def_var(result, bucket);
            self.b.jump(next, &[]);
            self.b.seal_and_switch(large);
            let exponent = self.floor_log2(value);
            let shift = self.b.binary_imm(BinOp::Sub, exponent, i64::from(k));
            let base = self.b.binary_imm(BinOp::Shl, shift, i64::from(k));
            let bucket = self.b.binary_imm(BinOp::Add, base, 1 + (1 << k));
            let top = self.b.binary(BinOp::Lshr, value, shift);
            let sub = self.b.binary_imm(BinOp::And, top, (1 << k) - 1);
            let bucket = self.b.binary(BinOp::Add, bucket, sub);
            self.b.def_var(result, bucket);
        }
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        self.b.use_var(result)
    }

    /// floor(log2 n) for n above 0, by halving; without branches, because the verifier would walk every path through
    /// them. It sees that the result is below 64.
    fn floor_log2(&mut self, value: Value) -> Value {
        // 2^32 is no immediate: the upper half is looked at by itself.
        let high = self.b.binary_imm(BinOp::Lshr, value, 32);
        let sign = self.b.unary(UnOp::Neg, high);
        let mut exponent = self.halve(sign, 5);
        let mut n = self.b.binary(BinOp::Lshr, value, exponent);
        for power in [4, 3, 2] {
            // Negative where n reaches 2^(2^power).
            let most = self.b.iconst((1 << (1 << power)) - 1);
            let sign = self.b.binary(BinOp::Sub, most, n);
            let by = self.halve(sign, power);
            n = self.b.binary(BinOp::Lshr, n, by);
            // Added, not or-ed: before 6.10 the verifier knows nothing of what is or-ed with an unknown number.
            exponent = self.b.binary(BinOp::Add, exponent, by);
        }
        // What is left is below 16: two bits each in a table.
        let table = (1..16).fold(0, |table, n: u32| table | i64::from(n.ilog2()) << (2 * n));
        let table = self.b.iconst(table);
        let place = self.b.binary_imm(BinOp::Shl, n, 1);
        let entry = self.b.binary(BinOp::Lshr, table, place);
        let entry = self.b.binary_imm(BinOp::And, entry, 3);
        self.b.binary(BinOp::Add, exponent, entry)
    }

    /// 2^power if `sign` is negative, else 0.
    fn halve(&mut self, sign: Value, power: i64) -> Value {
        let one = self.b.binary_imm(BinOp::Lshr, sign, 63);
        self.b.binary_imm(BinOp::Shl, one, power)
    }

    /// Bucket 0 below `min`, the last one from `max` on.
    fn lhist_index(&mut self, value: Value, min: i64, max: i64, step: i64) -> Value {
        let result = self.b.declare_var(IrType::I64);
        let (below, above, inside, other) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block(), self.b.create_block());
        let next = self.b.create_block();
        let low = self.b.iconst(min);
        self.b.branch(Cond::Slt, value, low, below, other);
        self.b.seal_and_switch(other);
        // The last bucket ends below `max` if the step does not divide the range.
        let high = self.b.iconst(min + i64::from(lhist_buckets(min, max, step)) * step);
        self.b.branch(Cond::Sge, value, high, above, inside);
        self.b.seal_and_switch(inside);
        let offset = self.b.binary_imm(BinOp::Sub, value, min);
        let bucket = if step == 1 { offset } else { self.b.binary_imm(BinOp::Udiv, offset, step) };
        let bucket = self.b.binary_imm(BinOp::Add, bucket, 1);
        self.b.def_var(result, bucket);
        self.b.jump(next, &[]);
        for (block, n) in [(below, 0), (above, i64::from(lhist_buckets(min, max, step)) + 1)] {
            self.b.seal_and_switch(block);
            let bucket = self.b.iconst(n);
            self.b.def_var(result, bucket);
            self.b.jump(next, &[]);
        }
        self.b.seal_and_switch(next);
        self.b.use_var(result)
    }

    /// One value of a time series: see the layout of its slots in `hark_object::agg`.
    fn series(&mut self, at: Mem, word: Value, (interval_ns, n, fun, signed): (u64, u32, SeriesFn, bool)) {
        use hark_object::RunField;
        use hark_object::agg::{SLOT_EPOCH, SLOT_META, SLOT_SIZE, SLOT_VALUE};
        let boot = self.b.call(HelperId::KTIME_GET_BOOT_NS, &[]);
        let info = self.shared.run_info();
        let info = self.b.value(InstData::MapValueAddr(info, RunField::WallMinusBootNs.offset()));
        let wall_offset = self.b.load(Size::Dw, info, 0);
        let now = self.b.binary(BinOp::Add, boot, wall_offset);
        let epoch = self.b.binary_imm(BinOp::Udiv, now, interval_ns as i64);
        let index = self.b.binary_imm(BinOp::Umod, epoch, i64::from(n));
        let (inside, done) = (self.b.create_block(), self.b.create_block());
        let limit = self.b.iconst(i64::from(n));
        self.b.branch(Cond::Ult, index, limit, inside, done);
        self.b.seal_and_switch(inside);
        let offset = self.b.binary_imm(BinOp::Mul, index, i64::from(SLOT_SIZE));
        let slot = Mem { ptr: self.b.ptr_add(at.ptr, offset), ..at };
        let have = self.b.load(Size::Dw, slot.ptr, slot.off + SLOT_EPOCH as i32);
        let (same, fresh) = (self.b.create_block(), self.b.create_block());
        self.b.branch(Cond::Eq, have, epoch, same, fresh);
        self.b.seal_and_switch(fresh);
        let one = self.b.iconst(1);
        let meta = if fun == SeriesFn::Last { now } else { one };
        self.store_word(epoch, slot.plus(SLOT_EPOCH));
        self.store_word(word, slot.plus(SLOT_VALUE));
        self.store_word(meta, slot.plus(SLOT_META));
        self.b.jump(done, &[]);
        self.b.seal_and_switch(same);
        match fun {
            SeriesFn::Last => {
                self.store_word(word, slot.plus(SLOT_VALUE));
                self.store_word(now, slot.plus(SLOT_META));
            }
            SeriesFn::Avg | SeriesFn::Sum => {
                self.bump(slot.plus(SLOT_VALUE), word);
                let one = self.b.iconst(1);
                self.bump(slot.plus(SLOT_META), one);
            }
            SeriesFn::Max | SeriesFn::Min => {
                let cond = match (fun, signed) {
                    (SeriesFn::Max, true) => Cond::Sgt,
                    (SeriesFn::Max, false) => Cond::Ugt,
                    (_, true) => Cond::Slt,
                    (_, false) => Cond::Ult,
                };
                let old = self.b.load(Size::Dw, slot.ptr, slot.off + SLOT_VALUE as i32);
                let keep = self.b.create_block();
                self.b.branch(cond, word, old, keep, done);
                self.b.seal_and_switch(keep);
                self.store_word(word, slot.plus(SLOT_VALUE));
            }
        }
        self.b.jump(done, &[]);
        self.b.seal_and_switch(done);
    }

    /// The number that an aggregation stands for at this moment, over all CPUs.
    pub(super) fn read_aggregate(&mut self, map: MapId, key: Option<&Expr>, agg: Agg, span: Span) -> Value {
        let key = self.key(map, key);
        let key = self.address(key);
        self.read_aggregate_at(map, key, agg, span)
    }

    /// As [`Lower::read_aggregate`], with the key in memory.
    pub(super) fn read_aggregate_at(&mut self, map: MapId, key_addr: Value, agg: Agg, span: Span) -> Value {
        if !self.require(Feature::LookupPercpuElem, span) {
            return self.b.iconst(0);
        }
        let signed = match agg {
            Agg::Sum { signed } | Agg::Min { signed } | Agg::Max { signed } | Agg::Avg { signed } => signed,
            _ => false,
        };
        let total = self.b.declare_var(IrType::I64);
        let seen = self.b.declare_var(IrType::I64);
        let cpu = self.b.declare_var(IrType::I64);
        let zero = self.b.iconst(0);
        for var in [total, seen, cpu] {
            self.b.def_var(var, zero);
        }
        let (head, body, found, more, done) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        let n = self.b.use_var(cpu);
        let limit = self.b.iconst(i64::from(self.target.n_cpus));
        self.b.branch(Cond::Ult, n, limit, body, done);
        self.b.seal_and_switch(body);
        let map_ref = self.map_ref(map);
        let map_addr = self.b.map(map_ref);
        let value = self.b.call(HelperId::MAP_LOOKUP_PERCPU_ELEM, &[map_addr, key_addr, n]);
        self.b.branch_nonzero(value, found, more);
        self.b.seal_and_switch(found);
        let word = self.b.load(Size::Dw, value, 0);
        let sum = self.b.use_var(total);
        match agg {
            Agg::Count | Agg::Sum { .. } => {
                let sum = self.b.binary(BinOp::Add, sum, word);
                self.b.def_var(total, sum);
                self.b.jump(more, &[]);
            }
            Agg::Avg { .. } => {
                let count = self.b.load(Size::Dw, value, 8);
                let old = self.b.use_var(seen);
                let count = self.b.binary(BinOp::Add, old, count);
                self.b.def_var(seen, count);
                let sum = self.b.binary(BinOp::Add, sum, word);
                self.b.def_var(total, sum);
                self.b.jump(more, &[]);
            }
            _ => {
                let cond = match (matches!(agg, Agg::Max { .. }), signed) {
                    (true, true) => Cond::Sgt,
                    (true, false) => Cond::Ugt,
                    (false, true) => Cond::Slt,
                    (false, false) => Cond::Ult,
                };
                let set = self.b.load(Size::Dw, value, 8);
                let (valid, compare, keep) =
                    (self.b.create_block(), self.b.create_block(), self.b.create_block());
                self.b.branch_nonzero(set, valid, more);
                self.b.seal_and_switch(valid);
                let have = self.b.use_var(seen);
                self.b.branch_nonzero(have, compare, keep);
                self.b.seal_and_switch(compare);
                self.b.branch(cond, word, sum, keep, more);
                self.b.seal_and_switch(keep);
                self.b.def_var(total, word);
                let one = self.b.iconst(1);
                self.b.def_var(seen, one);
                self.b.jump(more, &[]);
            }
        }
        self.b.seal_and_switch(more);
        let following = self.b.binary_imm(BinOp::Add, n, 1);
        self.b.def_var(cpu, following);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal_and_switch(done);
        let sum = self.b.use_var(total);
        if !matches!(agg, Agg::Avg { .. }) {
            return sum;
        }
        let count = self.b.use_var(seen);
        // Division by zero gives 0: an average of nothing.
        self.b.binary(if signed { BinOp::Sdiv } else { BinOp::Udiv }, sum, count)
    }
}
