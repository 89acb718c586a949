//! Reading and writing maps of the script.
//!
//! A map without keys is an array of one value whose address is a constant of the program: no look-up. Behind the
//! value lies a word that says whether the map has been assigned.

use super::{Lower, Mem, Val};
use crate::typed::{Expr, MapId};
use crate::types::Type;
use bpf_facts::{Feature, HelperId, MapType, SHORT_KEY};
use ebpf_asm::{AtomicOp, MapRef, Size};
use ebpf_codegen::ir::{BinOp, Builder, Cond, InstData, Type as IrType, UnOp, Value};
use hark_object::{Loss, MapRole, Ty, UserMap};

/// `BPF_ANY`: create or replace.
pub(crate) const ANY: i64 = 0;
/// `BPF_NOEXIST`: create only.
pub(crate) const NOEXIST: i64 = 1;

impl Lower<'_> {
    /// The map itself.
    pub(crate) fn map_ref(&self, map: MapId) -> MapRef {
        self.shared.map_ref(map)
    }

    fn user_value(&self, map: MapId) -> &Ty {
        match &self.shared.maps[map.0 as usize].role {
            MapRole::User(user) => &user.value,
            _ => &Ty::Void,
        }
    }

    /// Offset of the word that says whether a map without keys has been assigned.
    fn presence_offset(&self, map: MapId) -> i32 {
        match &self.shared.maps[map.0 as usize].role {
            MapRole::User(user) => user.presence_offset() as i32,
            _ => 0,
        }
    }

    /// Whether its value is kept per CPU.
    pub(crate) fn is_per_cpu(&self, map: MapId) -> bool {
        use MapType::{LruPercpuHash, PercpuArray, PercpuHash};
        matches!(self.shared.maps[map.0 as usize].ty, PercpuArray | PercpuHash | LruPercpuHash)
    }

    fn user_map(&self, map: MapId) -> Option<&UserMap> {
        match &self.shared.maps[map.0 as usize].role {
            MapRole::User(user) => Some(user),
            _ => None,
        }
    }

    /// Reads the generations of the maps that keep them, at the beginning of a function: all of it is to be of one.
    pub(super) fn read_generations(&mut self) -> Vec<Option<Value>> {
        let n = self.script.maps.len();
        (0..n)
            .map(|i| {
                self.script.maps[i].generations.then(|| {
                    let map = self.shared.generations();
                    let at = self.b.value(InstData::MapValueAddr(map, i as u32 * 8));
                    self.b.load(Size::Dw, at, 0)
                })
            })
            .collect()
    }

    fn generation(&self, map: MapId) -> Option<Value> {
        self.generations.get(map.0 as usize).copied().flatten()
    }

    /// Within a function that is called for each entry of a map: whether its key (parameter 1) belongs to what the
    /// script sees. `None` if all do.
    pub(super) fn is_current(&mut self, map: MapId) -> Option<Value> {
        let now = self.generation(map)?;
        let offset = self.user_map(map)?.generation_offset();
        let key = self.b.param(1);
        let of_key = self.b.load(Size::Dw, key, offset as i32);
        Some(self.b.icmp(Cond::Eq, of_key, now))
    }

    /// Whether it is one value at a constant address: no keys, no CPUs, no generations.
    pub(super) fn is_direct(&self, map: MapId) -> bool {
        let has_key = self.user_map(map).is_none_or(|user| user.key.is_some());
        !has_key && !self.is_per_cpu(map) && self.generation(map).is_none()
    }

    /// Whether a word behind its value says that it has been assigned.
    fn has_presence(&self, map: MapId) -> bool {
        self.user_map(map).is_some_and(|user| user.key.is_none())
    }

    /// The value of a map that [is direct](Self::is_direct).
    pub(super) fn scalar_map(&mut self, map: MapId) -> Mem {
        let map = self.map_ref(map);
        Mem::at(self.b.value(InstData::MapValueAddr(map, 0)))
    }

    /// Says that a map without keys has been assigned.
    pub(super) fn mark_present(&mut self, map: MapId, value: Mem) {
        let offset = self.presence_offset(map);
        let one = self.b.iconst(1);
        self.b.store(Size::Dw, one, value.ptr, value.off + offset);
    }

    /// The key in memory, as helpers take it. Without a key: the index of the value.
    pub(crate) fn key(&mut self, map: MapId, key: Option<&Expr>) -> Mem {
        let generation = self.generation(map);
        if let Some(key) = key
            && self.shared.maps[map.0 as usize].key_size > SHORT_KEY
        {
            self.require(Feature::LongKeys, key.span);
        }
        match (key, generation) {
            (None, generation) => {
                let mem = self.new_bytes(4);
                let index = match generation {
                    None => self.b.iconst(0),
                    Some(generation) => self.b.binary_imm(BinOp::And, generation, 1),
                };
                self.b.store(Size::W, index, mem.ptr, mem.off);
                mem
            }
            (Some(key), None) => {
                let ty = key.ty.ty(self.types);
                let mem = self.new_mem(&ty);
                self.into(key, mem);
                mem
            }
            (Some(key), Some(generation)) => {
                let size = key.ty.ty(self.types).layout().size;
                let at = size.next_multiple_of(8);
                let mem = self.new_bytes(at + 8);
                if size < at {
                    self.zero(mem.plus(size / 8 * 8), 8);
                }
                self.into(key, mem);
                // After the key: reading text may write one byte behind it.
                self.store_word(generation, mem.plus(at));
                mem
            }
        }
    }

    /// The address of the value of `key`, or NULL.
    pub(crate) fn lookup(&mut self, map: MapId, key: Mem) -> Value {
        let map = self.map_ref(map);
        let (map, key) = (self.b.map(map), self.address(key));
        self.b.call(HelperId::MAP_LOOKUP_ELEM, &[map, key])
    }

    /// Whether a look-up finds something, and the verifier knows it: the one value of a map without keys.
    pub(super) fn is_certain(&self, map: MapId) -> bool {
        let has_key = self.user_map(map).is_none_or(|user| user.key.is_some());
        !has_key && self.generation(map).is_none() && self.target.profile.has(Feature::ConstantKeys)
    }

    /// Writes a value; counts it as lost if that fails, unless `flags` is what makes it fail.
    pub(crate) fn update(&mut self, map: MapId, key: Mem, value: Mem, flags: i64) -> Value {
        let map = self.map_ref(map);
        let (map, key, value) = (self.b.map(map), self.address(key), self.address(value));
        let flags = self.b.iconst(flags);
        let result = self.b.call(HelperId::MAP_UPDATE_ELEM, &[map, key, value, flags]);
        self.int_result(result)
    }

    /// The result of an operation of maps, which older kernels return as an `int`.
    fn int_result(&mut self, result: Value) -> Value {
        if self.target.profile.has(Feature::LongMapResults) {
            return result;
        }
        self.b.unary(UnOp::Sext(Size::W), result)
    }

    /// `@m[k]`: the value, or zero.
    pub(super) fn map_get(&mut self, map: MapId, key: Option<&Expr>, ty: &Type, dst: Option<Mem>) -> Val {
        if self.is_direct(map) {
            let value = self.scalar_map(map);
            if ty.is_scalar() {
                return Val::Scalar(self.load(value, ty));
            }
            // Another CPU may write while we read: take a copy.
            let dst = self.dst(dst, ty);
            let len = ty.ty(self.types).layout().size;
            self.copy(dst, value, len);
            return Val::Mem(dst);
        }
        // Before the branch: both sides write it.
        let dst = if ty.is_scalar() { None } else { Some(self.dst(dst, ty)) };
        let key = self.key(map, key);
        let found = self.lookup(map, key);
        let (hit, miss, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.branch_nonzero(found, hit, miss);
        let Some(dst) = dst else {
            let var = self.b.declare_var(IrType::I64);
            self.b.seal_and_switch(miss);
            self.report_missing_entry();
            let zero = self.b.iconst(0);
            self.b.def_var(var, zero);
            self.b.jump(next, &[]);
            self.b.seal_and_switch(hit);
            let value = self.load(Mem::at(found), ty);
            self.b.def_var(var, value);
            self.b.jump(next, &[]);
            self.b.seal_and_switch(next);
            return Val::Scalar(self.b.use_var(var));
        };
        let len = ty.ty(self.types).layout().size;
        self.b.seal_and_switch(miss);
        self.report_missing_entry();
        self.zero(dst, len);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(hit);
        self.copy(dst, Mem::at(found), len);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        Val::Mem(dst)
    }

    /// Tells of a look-up that found nothing, if the user asked for that.
    fn report_missing_entry(&mut self) {
        if self.options.warn_failed_reads {
            let zero = self.b.iconst(0);
            self.report_failure(zero, None, HelperId::MAP_LOOKUP_ELEM);
        }
    }

    /// `@m[k] = e`
    pub(super) fn map_set(&mut self, map: MapId, key: Option<&Expr>, value: &Expr) {
        if self.is_direct(map) {
            if value.ty.is_scalar() {
                let word = self.scalar(value);
                let at = self.scalar_map(map);
                self.store(word, at, &value.ty);
                self.mark_present(map, at);
                return;
            }
            // The whole value first: it may be made of the map's own.
            let src = self.mem(value);
            let at = self.scalar_map(map);
            let len = value.ty.ty(self.types).layout().size;
            self.copy(at, src, len);
            self.mark_present(map, at);
            return;
        }
        let src = self.value_for_update(map, value);
        let key = self.key(map, key);
        let result = self.update(map, key, src, ANY);
        self.report_if_failed(result, Loss::MapFull, HelperId::MAP_UPDATE_ELEM);
    }

    /// A value in memory of the map's value size, its tail zeroed.
    fn value_for_update(&mut self, map: MapId, value: &Expr) -> Mem {
        let ty = self.user_value(map).clone();
        let size = ty.layout().size;
        let room = self.shared.maps[map.0 as usize].value_size;
        let mem = self.new_bytes(room + 1);
        if room > size {
            let from = size / 8 * 8;
            self.zero(mem.plus(from), room - from);
        }
        self.into(value, mem);
        if self.has_presence(map) {
            self.mark_present(map, mem);
        }
        mem
    }

    /// `@m[k]++` and its kin. The addition is atomic: no CPU loses a count of another.
    pub(super) fn map_step(
        &mut self,
        map: MapId,
        key: Option<&Expr>,
        step: i64,
        postfix: bool,
        used: bool,
    ) -> Val {
        let adjusted = |cx: &mut Self, before: Value| {
            if postfix { before } else { cx.b.binary_imm(BinOp::Add, before, step) }
        };
        if self.is_direct(map) {
            let at = self.scalar_map(map);
            let before = self.add_at(at, step, used);
            self.mark_present(map, at);
            return match before {
                Some(before) => Val::Scalar(adjusted(self, before)),
                None => Val::None,
            };
        }
        let key = self.key(map, key);
        let found = self.lookup(map, key);
        let (hit, miss, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let var = self.b.declare_var(IrType::I64);
        self.b.branch_nonzero(found, hit, miss);

        self.b.seal_and_switch(miss);
        let room = self.shared.maps[map.0 as usize].value_size;
        let first = self.new_bytes(room);
        if room > 8 {
            self.zero(first, room);
        }
        let value = self.b.iconst(step);
        self.store_word(value, first);
        let result = self.update(map, key, first, NOEXIST);
        let zero = self.b.iconst(0);
        self.b.def_var(var, zero);
        let failed = self.b.create_cold_block();
        let zero = self.b.iconst(0);
        self.b.branch(Cond::Slt, result, zero, failed, next);

        // Another CPU was first, or the map is full: look again.
        self.b.seal_and_switch(failed);
        let again = self.lookup(map, key);
        let (second, full) = (self.b.create_cold_block(), self.b.create_cold_block());
        self.b.branch_nonzero(again, second, full);
        self.b.seal_and_switch(second);
        let before = self.add_at(Mem::at(again), step, used);
        self.define_if_used(var, before);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(full);
        self.report_failure(result, Some(Loss::MapFull), HelperId::MAP_UPDATE_ELEM);
        self.b.jump(next, &[]);

        self.b.seal_and_switch(hit);
        let before = self.add_at(Mem::at(found), step, used);
        self.define_if_used(var, before);
        if self.has_presence(map) {
            self.mark_present(map, Mem::at(found));
        }
        self.b.jump(next, &[]);

        self.b.seal_and_switch(next);
        if !used {
            return Val::None;
        }
        let before = self.b.use_var(var);
        Val::Scalar(adjusted(self, before))
    }

    fn define_if_used(&mut self, var: ebpf_codegen::ir::Variable, value: Option<Value>) {
        if let Some(value) = value {
            self.b.def_var(var, value);
        }
    }

    /// Adds atomically; gives the value before if it is wanted.
    fn add_at(&mut self, at: Mem, step: i64, wanted: bool) -> Option<Value> {
        // Kernels before 5.12 cannot fetch: what is read just before is the best there is.
        let fetch = wanted && self.target.profile.has(Feature::AtomicFetch);
        let early = if wanted && !fetch { Some(self.b.load(Size::Dw, at.ptr, at.off)) } else { None };
        let value = self.b.iconst(step);
        let inst = self.b.inst(InstData::Atomic {
            op: AtomicOp::Add,
            size: Size::Dw,
            fetch,
            value,
            ptr: at.ptr,
            off: at.off,
        });
        early.or(self.b.func().insts[inst].result)
    }

    /// `delete(@m, k)`: 0, or negative if there was no such key.
    pub(crate) fn map_delete(&mut self, map: MapId, key: Option<&Expr>) -> Value {
        let Some(key) = key else {
            // A map without keys goes back to "never assigned".
            let size = self.shared.maps[map.0 as usize].value_size;
            if self.is_direct(map) {
                let at = self.scalar_map(map);
                self.zero(at, size);
            } else if self.is_per_cpu(map) {
                self.async_map(hark_object::EventKind::Clear(self.shared.map_ref(map)));
            } else {
                let (key, value) = (self.key(map, None), self.new_bytes(size));
                self.zero(value, size);
                self.update(map, key, value, ANY);
            }
            return self.b.iconst(0);
        };
        let key = self.key(map, Some(key));
        let map = self.map_ref(map);
        let (map, key) = (self.b.map(map), self.address(key));
        let result = self.b.call(HelperId::MAP_DELETE_ELEM, &[map, key]);
        self.int_result(result)
    }

    /// Number of entries of a map with keys, by walking over them with an empty callback.
    pub(crate) fn count_entries(&mut self, map: MapId) -> Value {
        let span = self.here();
        if !self.require(Feature::ForEachMapElem, span) {
            return self.b.iconst(0);
        }
        let current = self.generation(map);
        let mut callback = Builder::new("count", &[IrType::Ptr, IrType::Ptr, IrType::Ptr, IrType::Ptr]);
        if current.is_some() {
            count_current(&mut callback, self.user_map(map).map_or(0, UserMap::generation_offset));
        }
        let go_on = callback.iconst(0);
        callback.ret(go_on);
        let function = self.add_function(callback.finish());
        let map = self.map_ref(map);
        let map = self.b.map(map);
        let function = self.b.value(InstData::FuncAddr(function));
        let flags = self.b.iconst(0);
        let Some(generation) = current else {
            let none = self.b.iconst(0);
            return self.b.call(HelperId::FOR_EACH_MAP_ELEM, &[map, function, none, flags]);
        };
        let slot = self.b.slot(16);
        let capture = self.b.slot_addr(slot);
        let zero = self.b.iconst(0);
        self.b.store(Size::Dw, generation, capture, 0);
        self.b.store(Size::Dw, zero, capture, 8);
        self.b.call(HelperId::FOR_EACH_MAP_ELEM, &[map, function, capture, flags]);
        self.b.load(Size::Dw, capture, 8)
    }
}

/// The body of a callback whose capture holds a generation and the number of entries of it.
fn count_current(callback: &mut Builder, offset: u32) {
    let (key, capture) = (callback.param(1), callback.param(3));
    let have = callback.load(Size::Dw, key, offset as i32);
    let want = callback.load(Size::Dw, capture, 0);
    let same = callback.icmp(Cond::Eq, have, want);
    let n = callback.load(Size::Dw, capture, 8);
    let n = callback.binary(BinOp::Add, n, same);
    callback.store(Size::Dw, n, capture, 8);
}
