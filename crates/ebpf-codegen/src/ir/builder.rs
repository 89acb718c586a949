//! Builds a function block by block, and turns mutable variables into SSA on the way.
//!
//! SSA construction is that of Braun et al., "Simple and Efficient Construction of Static Single Assignment Form"
//! (2013): a variable read in a block whose predecessors are not all known becomes a block parameter, completed
//! when the block is *sealed*. Parameters that turn out to be superfluous are removed by the optimiser.

use super::entity::{Block, Inst, SlotId, Value};
use super::function::Function;
use super::inst::{BinOp, BlockCall, Cond, InstData, Terminator, Type, UnOp};
use bpf_facts::HelperId;
use ebpf_asm::{MapRef, Size, SrcLoc};
use rustc_hash::FxHashMap;

/// A mutable variable of the language being lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variable(u32);

#[derive(Default)]
struct BlockState {
    sealed: bool,
    filled: bool,
    preds: Vec<Block>,
    /// Variables that became parameters before the block was sealed.
    incomplete: Vec<(Variable, Value)>,
}

/// Appends instructions to the current block of a function.
pub struct Builder {
    func: Function,
    block: Block,
    loc: SrcLoc,
    vars: Vec<Type>,
    defs: FxHashMap<(Variable, Block), Value>,
    states: Vec<BlockState>,
}

impl Builder {
    /// Starts a function; the entry block is current and sealed.
    pub fn new(name: impl Into<String>, params: &[Type]) -> Self {
        let func = Function::new(name, params);
        let block = func.entry();
        let states = vec![BlockState { sealed: true, ..BlockState::default() }];
        Self { func, block, loc: SrcLoc::default(), vars: Vec::new(), defs: FxHashMap::default(), states }
    }

    /// The finished function. Every block must be sealed and terminated; a block that was never terminated returns 0.
    pub fn finish(mut self) -> Function {
        let open: Vec<Block> = self
            .func
            .blocks
            .entries()
            .filter(|(_, b)| b.term == Terminator::None)
            .map(|(id, _)| id)
            .collect();
        for block in open {
            self.block = block;
            let zero = self.iconst(0);
            self.ret(zero);
        }
        debug_assert!(self.states.iter().all(|s| s.sealed), "every block is sealed");
        self.func
    }

    /// The function as built so far.
    pub fn func(&self) -> &Function {
        &self.func
    }

    /// Parameter `n` of the function.
    pub fn param(&self, n: usize) -> Value {
        self.func.blocks[self.func.entry()].params[n]
    }

    /// Source position of what is appended from now on.
    pub fn set_loc(&mut self, loc: SrcLoc) {
        self.loc = loc;
    }

    /// The position set last.
    pub fn loc(&self) -> SrcLoc {
        self.loc
    }

    // Blocks

    /// A new, unsealed block.
    pub fn create_block(&mut self) -> Block {
        self.states.push(BlockState::default());
        self.func.add_block()
    }

    /// A new, unsealed block that rarely runs.
    pub fn create_cold_block(&mut self) -> Block {
        let block = self.create_block();
        self.func.blocks[block].cold = true;
        block
    }

    /// Adds a parameter.
    pub fn block_param(&mut self, block: Block, ty: Type) -> Value {
        self.func.add_param(block, ty)
    }

    /// Appends to `block` from now on.
    pub fn switch_to(&mut self, block: Block) {
        self.block = block;
    }

    /// The block being appended to.
    pub fn current(&self) -> Block {
        self.block
    }

    /// Whether the current block has its terminator; what is appended then is dropped with the block being unreachable.
    pub fn is_terminated(&self) -> bool {
        self.states[self.block.index()].filled
    }

    /// Says that every jump to `block` has been made.
    pub fn seal(&mut self, block: Block) {
        let state = &mut self.states[block.index()];
        debug_assert!(!state.sealed, "{block} is sealed once");
        state.sealed = true;
        for (var, param) in std::mem::take(&mut state.incomplete) {
            self.add_param_args(var, block, param);
        }
    }

    /// [`Builder::seal`], then [`Builder::switch_to`].
    pub fn seal_and_switch(&mut self, block: Block) {
        self.seal(block);
        self.switch_to(block);
    }

    fn terminate(&mut self, term: Terminator) {
        if self.is_terminated() {
            return;
        }
        for to in term.targets() {
            let from = self.block;
            debug_assert!(!self.states[to.block.index()].sealed, "jump to sealed {}", to.block);
            self.states[to.block.index()].preds.push(from);
        }
        self.states[self.block.index()].filled = true;
        let loc = self.loc;
        let data = &mut self.func.blocks[self.block];
        data.term = term;
        data.term_loc = loc;
    }

    /// `jump block(args)`
    pub fn jump(&mut self, block: Block, args: &[Value]) {
        self.terminate(Terminator::Jump(BlockCall { block, args: args.to_vec() }));
    }

    /// Goes to `then` if the comparison holds, else to `els`.
    pub fn branch(&mut self, cond: Cond, lhs: Value, rhs: Value, then: Block, els: Block) {
        let call = |block| BlockCall { block, args: Vec::new() };
        if then == els {
            return self.jump(then, &[]);
        }
        self.terminate(Terminator::Branch { cond, lhs, rhs, then: call(then), els: call(els) });
    }

    /// Goes to `then` if `value` is not zero (not NULL), else to `els`.
    pub fn branch_nonzero(&mut self, value: Value, then: Block, els: Block) {
        let zero = self.iconst(0);
        self.branch(Cond::Ne, value, zero, then, els);
    }

    /// `ret value`
    pub fn ret(&mut self, value: Value) {
        self.terminate(Terminator::Return(value));
    }

    // Variables

    /// A new variable; reading it before any definition gives 0 (integers only).
    pub fn declare_var(&mut self, ty: Type) -> Variable {
        self.vars.push(ty);
        Variable(self.vars.len() as u32 - 1)
    }

    /// Assigns.
    pub fn def_var(&mut self, var: Variable, value: Value) {
        self.defs.insert((var, self.block), value);
    }

    /// Reads.
    pub fn use_var(&mut self, var: Variable) -> Value {
        self.read_var(var, self.block)
    }

    fn read_var(&mut self, var: Variable, block: Block) -> Value {
        // Iterates over chains of single predecessors, so that long straight code does not recurse.
        let mut at = block;
        let mut passed = Vec::new();
        let value = loop {
            if let Some(value) = self.defs.get(&(var, at)) {
                break *value;
            }
            let state = &self.states[at.index()];
            if state.sealed && state.preds.len() == 1 {
                passed.push(at);
                at = state.preds[0];
                continue;
            }
            if state.sealed && state.preds.is_empty() {
                break self.undefined(at);
            }
            let sealed = state.sealed;
            let param = self.func.add_param(at, self.vars[var.0 as usize]);
            self.defs.insert((var, at), param);
            if sealed {
                self.add_param_args(var, at, param);
            } else {
                self.states[at.index()].incomplete.push((var, param));
            }
            break param;
        };
        for block in passed {
            self.defs.insert((var, block), value);
        }
        value
    }

    /// Zero, defined at the head of a block that no path with a definition reaches.
    fn undefined(&mut self, block: Block) -> Value {
        let inst = self.func.make_inst(InstData::Iconst(0), self.loc);
        self.func.blocks[block].insts.insert(0, inst);
        self.func.insts[inst].result.expect("a constant has a result")
    }

    fn add_param_args(&mut self, var: Variable, block: Block, param: Value) {
        let _ = param;
        for pred in self.states[block.index()].preds.clone() {
            let value = self.read_var(var, pred);
            let mut term = std::mem::replace(&mut self.func.blocks[pred].term, Terminator::None);
            for to in term.targets_mut().filter(|to| to.block == block) {
                to.args.push(value);
            }
            self.func.blocks[pred].term = term;
        }
    }

    // Instructions

    /// Appends any instruction.
    pub fn inst(&mut self, data: InstData) -> Inst {
        let loc = self.loc;
        if self.is_terminated() {
            // Unreachable source code: keep building into a block that nothing jumps to.
            let dead = self.create_block();
            self.states[dead.index()].sealed = true;
            self.block = dead;
        }
        self.func.push_inst(self.block, data, loc)
    }

    /// Appends an instruction that has a result.
    pub fn value(&mut self, data: InstData) -> Value {
        let inst = self.inst(data);
        self.func.insts[inst].result.expect("the instruction has a result")
    }

    /// A number.
    pub fn iconst(&mut self, n: i64) -> Value {
        self.value(InstData::Iconst(n))
    }

    /// Arithmetic.
    pub fn binary(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        self.value(InstData::Binary(op, a, b))
    }

    /// Arithmetic with a constant on the right.
    pub fn binary_imm(&mut self, op: BinOp, a: Value, n: i64) -> Value {
        let b = self.iconst(n);
        self.binary(op, a, b)
    }

    /// One-operand arithmetic.
    pub fn unary(&mut self, op: UnOp, a: Value) -> Value {
        self.value(InstData::Unary(op, a))
    }

    /// 1 if the comparison holds, else 0.
    pub fn icmp(&mut self, cond: Cond, a: Value, b: Value) -> Value {
        self.value(InstData::Icmp(cond, a, b))
    }

    /// `a` if `c` is not zero, else `b`.
    pub fn select(&mut self, c: Value, a: Value, b: Value) -> Value {
        self.value(InstData::Select(c, a, b))
    }

    /// A pointer moved by a constant.
    pub fn ptr_off(&mut self, ptr: Value, off: i32) -> Value {
        if off == 0 { ptr } else { self.value(InstData::PtrOff(ptr, off)) }
    }

    /// A pointer moved by a run-time amount.
    pub fn ptr_add(&mut self, ptr: Value, n: Value) -> Value {
        self.value(InstData::PtrAdd(ptr, n))
    }

    /// A zero-extending load.
    pub fn load(&mut self, size: Size, ptr: Value, off: i32) -> Value {
        self.value(InstData::Load { size, sext: false, ptr, off })
    }

    /// A load that extends by `signed`.
    pub fn load_ext(&mut self, size: Size, signed: bool, ptr: Value, off: i32) -> Value {
        self.value(InstData::Load { size, sext: signed && size != Size::Dw, ptr, off })
    }

    /// A store.
    pub fn store(&mut self, size: Size, value: Value, ptr: Value, off: i32) {
        self.inst(InstData::Store { size, value, ptr, off });
    }

    /// Zeroes memory; nothing for `len` 0.
    pub fn mem_zero(&mut self, ptr: Value, off: i32, len: u32) {
        if len > 0 {
            self.inst(InstData::MemZero { ptr, off, len });
        }
    }

    /// Copies memory of at least byte alignment `align`; nothing for `len` 0.
    pub fn mem_copy(&mut self, dst: (Value, i32), src: (Value, i32), len: u32, align: u32) {
        if len > 0 {
            let (dst, dst_off) = dst;
            let (src, src_off) = src;
            self.inst(InstData::MemCopy { dst, dst_off, src, src_off, len, align });
        }
    }

    /// New memory of at least `size` bytes.
    pub fn slot(&mut self, size: u32) -> SlotId {
        self.func.add_slot(size)
    }

    /// The address of a slot.
    pub fn slot_addr(&mut self, slot: SlotId) -> Value {
        self.value(InstData::SlotAddr(slot, 0))
    }

    /// A map as argument.
    pub fn map(&mut self, map: MapRef) -> Value {
        self.value(InstData::MapAddr(map))
    }

    /// Calls a helper for its result.
    pub fn call(&mut self, helper: HelperId, args: &[Value]) -> Value {
        self.value(InstData::CallHelper(helper, args.to_vec()))
    }

    /// Calls a helper whose result does not matter or does not exist.
    pub fn call_void(&mut self, helper: HelperId, args: &[Value]) {
        self.inst(InstData::CallHelper(helper, args.to_vec()));
    }
}
