//! Loops whose body the kernel calls back: over the entries of a map, and of many turns.
//!
//! The body becomes a function of its own. What it uses of the variables around it is handed over in a *capture* on
//! the stack: integers by value, which the body writes back when it ends, everything else by its address.
//!
//! ```text
//!  0  1 if the body left the program by `return` or `exit()`
//!  8  the value it returned
//! 16  the program's context
//! 24  one word for each captured variable
//! ```

use super::uses::Uses;
use super::{Lower, Mem, Storage};
use crate::typed::{Block, Expr, MapId, VarId};
use crate::types::Type;
use bpf_facts::{Feature, HelperId};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Builder, Cond, InstData, Type as IrType, Value};
use hark_diag::{Code, Diagnostic};

const LEFT: i32 = 0;
const RESULT: i32 = 8;
const CONTEXT: i32 = 16;
const FIRST: i32 = 24;

/// Most turns that `bpf_loop` makes (`BPF_MAX_LOOPS`, kernel/bpf/bpf_iter.c).
const MAX_TURNS: i64 = 8 << 20;

/// What `bpf_loop` calls its body with: the number of the turn, and the capture.
const TURN: &[IrType] = &[IrType::I64, IrType::Ptr];

/// A variable that the body shares with the code around it.
#[derive(Clone, Copy)]
struct Captured {
    var: VarId,
    offset: i32,
    changed: bool,
}

/// A call of a helper that calls back.
struct CallBack<'a> {
    /// Name of the body, for people.
    name: &'a str,
    /// What the helper calls the body with; the last is the capture.
    params: &'a [IrType],
    helper: HelperId,
    /// The helper's first argument.
    before: Value,
    /// What is handed over besides variables.
    words: Vec<Value>,
}

/// What is set aside while the body is built.
struct Outside {
    b: Builder,
    storage: Vec<Storage>,
    loops: Vec<(ebpf_codegen::ir::Block, ebpf_codegen::ir::Block)>,
    generations: Vec<Option<Value>>,
    ctx: Value,
    capture: Option<Value>,
}

impl Lower<'_> {
    /// Leaves the program with a result, from wherever in it.
    pub(crate) fn leave(&mut self, result: Value) {
        let Some(capture) = self.capture else { return self.b.ret(result) };
        let one = self.b.iconst(1);
        self.b.store(Size::Dw, one, capture, LEFT);
        self.b.store(Size::Dw, result, capture, RESULT);
        // The first loop of a body is the one that calls it: its end is where the body stops.
        if let Some((_, stop)) = self.loops.first().copied() {
            self.b.jump(stop, &[]);
        }
    }

    /// Whether the body can be called back: variables that hold pointers to kernel objects cannot be handed back.
    pub(super) fn can_close_over(&self, uses: &Uses) -> bool {
        uses.changed.iter().all(|var| {
            let local = self.is_local(*var, uses);
            local || !super::is_pointer_value(&self.unit.vars[var.0 as usize].ty)
        })
    }

    /// Whether nothing outside the code of `uses` mentions the variable.
    fn is_local(&self, var: VarId, uses: &Uses) -> bool {
        uses.counts.get(&var) == self.totals.counts.get(&var)
    }

    /// Has the kernel call a body, made by `fill`, which is given the words handed over. Returns what the helper
    /// returned.
    fn call_back(
        &mut self,
        call: CallBack<'_>,
        uses: &Uses,
        fill: impl FnOnce(&mut Self, &[Value]),
    ) -> Value {
        let CallBack { name, params, helper, before, words } = call;
        let pointers: Vec<bool> = words.iter().map(|word| self.is_ptr(*word)).collect();
        let mut captured = Vec::new();
        let mut vars: Vec<VarId> = uses.counts.keys().copied().collect();
        vars.sort();
        for var in vars {
            if !self.is_local(var, uses) {
                let offset = FIRST + 8 * captured.len() as i32;
                captured.push(Captured { var, offset, changed: uses.changed.contains(&var) });
            }
        }
        let first_word = FIRST + 8 * captured.len() as i32;
        let slot = self.b.slot((first_word + 8 * words.len() as i32) as u32);
        let capture = self.b.slot_addr(slot);
        let zero = self.b.iconst(0);
        self.b.store(Size::Dw, zero, capture, LEFT);
        self.b.store(Size::Dw, zero, capture, RESULT);
        self.b.store(Size::Dw, self.ctx, capture, CONTEXT);
        for c in &captured {
            let word = match self.storage(c.var) {
                Storage::Scalar(var) => self.b.use_var(var),
                Storage::Memory(slot) => self.b.slot_addr(slot),
                Storage::Far(ptr) => ptr,
            };
            self.b.store(Size::Dw, word, capture, c.offset);
        }
        let offsets: Vec<i32> = (0..words.len() as i32).map(|i| first_word + 8 * i).collect();
        for (word, offset) in words.iter().zip(&offsets) {
            self.b.store(Size::Dw, *word, capture, *offset);
        }

        let outside = self.enter(name, params);
        let inner = self.b.param(params.len() - 1);
        self.capture = Some(inner);
        self.ctx = self.b.value(InstData::LoadPtr { ptr: inner, off: CONTEXT });
        self.share(&captured, inner, &outside.storage);
        let (go_on, stop) = (self.b.create_block(), self.b.create_block());
        self.loops = vec![(go_on, stop)];
        let words: Vec<Value> = (offsets.iter().zip(pointers))
            .map(|(at, pointer)| match pointer {
                true => self.b.value(InstData::LoadPtr { ptr: inner, off: *at }),
                false => self.b.load(Size::Dw, inner, *at),
            })
            .collect();
        fill(self, &words);
        self.b.jump(go_on, &[]);
        for (block, result) in [(go_on, 0), (stop, 1)] {
            self.b.seal_and_switch(block);
            for c in captured.iter().filter(|c| c.changed) {
                if let Storage::Scalar(var) = self.storage(c.var) {
                    let word = self.b.use_var(var);
                    self.b.store(Size::Dw, word, inner, c.offset);
                }
            }
            let result = self.b.iconst(result);
            self.b.ret(result);
        }
        let body = self.exit(outside);

        let function = self.add_function(body.finish());
        let function = self.b.value(InstData::FuncAddr(function));
        let flags = self.b.iconst(0);
        let result = self.b.call(helper, &[before, function, capture, flags]);
        for c in captured.iter().filter(|c| c.changed) {
            if let Storage::Scalar(var) = self.storage(c.var) {
                let word = self.b.load(Size::Dw, capture, c.offset);
                self.b.def_var(var, word);
            }
        }
        if uses.leaves {
            let (left, next) = (self.b.create_cold_block(), self.b.create_block());
            let flag = self.b.load(Size::Dw, capture, LEFT);
            self.b.branch_nonzero(flag, left, next);
            self.b.seal_and_switch(left);
            let value = self.b.load(Size::Dw, capture, RESULT);
            self.leave(value);
            self.b.seal_and_switch(next);
        }
        result
    }

    /// Begins a function: what is built from now on is its body.
    fn enter(&mut self, name: &str, params: &[IrType]) -> Outside {
        let mut b = Builder::new(name, params);
        b.set_loc(self.b.loc());
        let outer = std::mem::replace(&mut self.b, b);
        let storage = self.fresh_storage();
        let generations = self.read_generations();
        Outside {
            b: outer,
            generations: std::mem::replace(&mut self.generations, generations),
            storage: std::mem::replace(&mut self.storage, storage),
            loops: std::mem::take(&mut self.loops),
            ctx: self.ctx,
            capture: self.capture,
        }
    }

    /// Ends the function begun by [`Lower::enter`].
    fn exit(&mut self, outside: Outside) -> Builder {
        self.storage = outside.storage;
        self.loops = outside.loops;
        self.generations = outside.generations;
        self.ctx = outside.ctx;
        self.capture = outside.capture;
        std::mem::replace(&mut self.b, outside.b)
    }

    /// Where the body finds the variables around it.
    ///
    /// The verifier walks the body again as long as it finds other values there. A number that each turn changes, and
    /// whose value it knows, would keep it walking for ever: so it is told nothing of such numbers.
    fn share(&mut self, captured: &[Captured], inner: Value, outside: &[Storage]) {
        let changes = |c: &Captured| c.changed && matches!(outside[c.var.0 as usize], Storage::Scalar(_));
        let zero = captured.iter().any(changes).then(|| {
            let map = self.shared.zero();
            let at = self.b.value(InstData::MapValueAddr(map, 0));
            self.b.load(Size::Dw, at, 0)
        });
        for c in captured {
            match outside[c.var.0 as usize] {
                Storage::Scalar(_) => {
                    let Storage::Scalar(var) = self.storage(c.var) else { continue };
                    let pointer = super::is_pointer_value(&self.unit.vars[c.var.0 as usize].ty);
                    let word = if pointer {
                        self.b.value(InstData::LoadPtr { ptr: inner, off: c.offset })
                    } else {
                        self.b.load(Size::Dw, inner, c.offset)
                    };
                    let word = match zero {
                        Some(zero) if c.changed && !pointer => self.b.binary(BinOp::Xor, word, zero),
                        _ => word,
                    };
                    self.b.def_var(var, word);
                }
                Storage::Memory(_) | Storage::Far(_) => {
                    let ptr = self.b.value(InstData::LoadPtr { ptr: inner, off: c.offset });
                    self.storage[c.var.0 as usize] = Storage::Far(ptr);
                }
            }
        }
    }

    /// `for ($kv : @map) { … }`
    pub(super) fn for_map(&mut self, var: VarId, map: MapId, body: &Block) {
        let span = self.here();
        if !self.require(Feature::ForEachMapElem, span) {
            return;
        }
        let mut uses = Uses::of_block(body);
        uses.add_changed(var);
        if !self.can_close_over(&uses) {
            return self.refuse_pointers(&uses);
        }
        let kv = self.unit.vars[var.0 as usize].ty.clone();
        let Type::Tuple(types) = &kv else { return };
        let (key_ty, value_ty) = (types[0].clone(), types[1].clone());
        let offsets = kv.ty(self.types).member_offsets();
        let used = uses.counts.get(&var).is_some_and(|n| *n > 1);
        let fill = |cx: &mut Self, _: &[Value]| {
            if let Some(current) = cx.is_current(map) {
                let (mine, other) = (cx.b.create_block(), cx.loops[0].0);
                cx.b.branch_nonzero(current, mine, other);
                cx.b.seal_and_switch(mine);
            }
            if used && let Storage::Memory(slot) = cx.storage(var) {
                let (key, value) = (cx.b.param(1), cx.b.param(2));
                let at = Mem::at(cx.b.slot_addr(slot));
                // In order, zeroes between them last: kernels before 6.9 refuse to read a word of which the program
                // zeroed all and then stored a part.
                let key_size = key_ty.ty(cx.types).layout().size;
                cx.copy(at.plus(offsets[0]), Mem::at(key), key_size);
                let key_end = offsets[0] + key_size;
                cx.zero(at.plus(key_end), offsets[1] - key_end);
                let to = at.plus(offsets[1]);
                let end = offsets[1] + value_ty.ty(cx.types).layout().size;
                cx.zero(at.plus(end), kv.ty(cx.types).layout().size - end);
                match cx.script.maps[map.0 as usize].value {
                    Type::Agg(agg) => {
                        let number = cx.read_aggregate_at(map, key, agg, span);
                        cx.store(number, to, &value_ty);
                    }
                    _ => {
                        let size = value_ty.ty(cx.types).layout().size;
                        cx.copy(to, Mem::at(value), size);
                    }
                }
            }
            cx.block(body);
        };
        let map_ref = self.map_ref(map);
        let map_addr = self.b.map(map_ref);
        let params = [IrType::Ptr, IrType::Ptr, IrType::Ptr, IrType::Ptr];
        let helper = HelperId::FOR_EACH_MAP_ELEM;
        let call = CallBack { name: "for_each", params: &params, helper, before: map_addr, words: vec![] };
        self.call_back(call, &uses, fill);
    }

    /// `for ($i : from..to) { … }` of many turns, or of a number that is not known.
    pub(super) fn for_range_called(&mut self, var: VarId, from: Value, to: Value, body: &Block, uses: &Uses) {
        let turns = self.b.declare_var(IrType::I64);
        let (some, none, next) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.branch(Cond::Slt, from, to, some, none);
        self.b.seal_and_switch(some);
        let n = self.b.binary(BinOp::Sub, to, from);
        self.b.def_var(turns, n);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(none);
        let zero = self.b.iconst(0);
        self.b.def_var(turns, zero);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        let turns = self.b.use_var(turns);
        // The number is a u32 to the kernel: what does not fit must not look small.
        let (fits, long, after) = (self.b.create_block(), self.b.create_cold_block(), self.b.create_block());
        let most = self.b.iconst(MAX_TURNS);
        self.b.branch(Cond::Ule, turns, most, fits, long);
        self.b.seal_and_switch(long);
        let span = self.here();
        self.runtime_warning("a loop of more than 8388608 turns was not run", span);
        self.b.jump(after, &[]);
        self.b.seal_and_switch(fits);
        let fill = |cx: &mut Self, words: &[Value]| {
            let turn = cx.b.param(0);
            let i = cx.b.binary(BinOp::Add, words[0], turn);
            cx.write_var(var, i);
            cx.block(body);
        };
        let call =
            CallBack { name: "turn", params: TURN, helper: HelperId::LOOP, before: turns, words: vec![from] };
        self.call_back(call, uses, fill);
        self.b.jump(after, &[]);
        self.b.seal_and_switch(after);
    }

    /// Up to `turns` turns of a body that is given `pointers`; parameter 0 is the number of the turn. It ends the loop by
    /// a jump to [`loop_end`](Self::loop_end).
    pub(crate) fn repeat(
        &mut self,
        name: &str,
        turns: Value,
        pointers: &[Value],
        fill: impl FnOnce(&mut Self, &[Value]),
    ) {
        let call =
            CallBack { name, params: TURN, helper: HelperId::LOOP, before: turns, words: pointers.to_vec() };
        self.call_back(call, &Uses::default(), fill);
    }

    /// Where a body that is called back ends the loop.
    pub(crate) fn loop_end(&self) -> ebpf_codegen::ir::Block {
        self.loops[0].1
    }

    /// `while` of a number of turns that is not known.
    pub(super) fn while_called(&mut self, cond: &Expr, body: &Block, uses: &Uses) {
        let fill = |cx: &mut Self, _: &[Value]| {
            let (inside, stop) = (cx.b.create_block(), cx.loops[0].1);
            cx.condition(cond, inside, stop);
            cx.b.seal_and_switch(inside);
            cx.block(body);
        };
        let turns = self.b.iconst(MAX_TURNS);
        self.call_back(
            CallBack { name: "turn", params: TURN, helper: HelperId::LOOP, before: turns, words: vec![] },
            uses,
            fill,
        );
    }

    /// Says that a loop changes a variable that its body cannot hand back.
    pub(super) fn refuse_pointers(&mut self, uses: &Uses) {
        let pointer = uses
            .changed
            .iter()
            .find(|v| !self.is_local(**v, uses) && super::is_pointer_value(&self.unit.vars[v.0 as usize].ty));
        let name = pointer.map_or("", |v| self.unit.vars[v.0 as usize].name.as_str());
        let span = self.here();
        let message = format!("the body of this loop changes ${name}, a pointer to a kernel object");
        let help = format!("declare ${name} inside the loop, or keep it as an integer: (uint64)…");
        self.report(Diagnostic::error(Code::NOT_ASSIGNABLE, span, message).with_help(help));
    }
}
