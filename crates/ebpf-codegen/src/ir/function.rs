//! Functions and modules.

use super::entity::{Block, FuncRef, IndexVec, Inst, SlotId, Value};
use super::inst::{InstData, Terminator, Type};
use ebpf_asm::SrcLoc;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueDef {
    /// Result of an instruction.
    Inst(Inst),
    /// Parameter `n` of a block.
    Param(Block, u32),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueData {
    /// Type.
    pub ty: Type,
    /// Where it comes from.
    pub def: ValueDef,
}

/// An instruction in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstNode {
    /// What it does.
    pub data: InstData,
    /// Its result.
    pub result: Option<Value>,
    /// The source position it was made for.
    pub loc: SrcLoc,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockData {
    /// Parameters.
    pub params: Vec<Value>,
    /// Instructions in order.
    pub insts: Vec<Inst>,
    /// How it ends.
    pub term: Terminator,
    /// The source position of the end.
    pub term_loc: SrcLoc,
    /// Expected to run rarely (failed helpers, full maps): laid out last.
    pub cold: bool,
}

/// A piece of memory private to one run of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotData {
    /// Bytes; a multiple of 8.
    pub size: u32,
}

/// A function. The parameters of the entry block are its parameters: for a program one, the context (`Ptr`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name, for people.
    pub name: String,
    /// Blocks; the first is the entry.
    pub blocks: IndexVec<Block, BlockData>,
    /// Instructions of all blocks; some may be in no block any more.
    pub insts: IndexVec<Inst, InstNode>,
    /// Values.
    pub values: IndexVec<Value, ValueData>,
    /// Memory.
    pub slots: IndexVec<SlotId, SlotData>,
}

/// A program: its entry function and the functions that it calls or hands to helpers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Module {
    /// Functions; the first is the entry.
    pub functions: IndexVec<FuncRef, Function>,
}

impl Function {
    /// An empty function with an entry block of the given parameters.
    pub fn new(name: impl Into<String>, params: &[Type]) -> Self {
        let mut function = Self {
            name: name.into(),
            blocks: IndexVec::new(),
            insts: IndexVec::new(),
            values: IndexVec::new(),
            slots: IndexVec::new(),
        };
        let entry = function.add_block();
        for ty in params {
            function.add_param(entry, *ty);
        }
        function
    }

    /// The first block.
    pub fn entry(&self) -> Block {
        Block::new(0)
    }

    /// Adds an empty block.
    pub fn add_block(&mut self) -> Block {
        self.blocks.push(BlockData {
            params: Vec::new(),
            insts: Vec::new(),
            term: Terminator::None,
            term_loc: SrcLoc::default(),
            cold: false,
        })
    }

    /// Adds a parameter to a block.
    pub fn add_param(&mut self, block: Block, ty: Type) -> Value {
        let n = self.blocks[block].params.len() as u32;
        let value = self.values.push(ValueData { ty, def: ValueDef::Param(block, n) });
        self.blocks[block].params.push(value);
        value
    }

    /// Adds a slot of at least `size` bytes, rounded up to a multiple of 8.
    pub fn add_slot(&mut self, size: u32) -> SlotId {
        self.slots.push(SlotData { size: size.max(1).next_multiple_of(8) })
    }

    /// Makes an instruction and its result without placing it.
    pub fn make_inst(&mut self, data: InstData, loc: SrcLoc) -> Inst {
        let ty = data.result_type();
        let inst = self.insts.push(InstNode { data, result: None, loc });
        self.insts[inst].result = ty.map(|ty| self.values.push(ValueData { ty, def: ValueDef::Inst(inst) }));
        inst
    }

    /// Appends an instruction to a block.
    pub fn push_inst(&mut self, block: Block, data: InstData, loc: SrcLoc) -> Inst {
        let inst = self.make_inst(data, loc);
        self.blocks[block].insts.push(inst);
        inst
    }

    /// The instruction that computes `value`, if one does.
    pub fn def_inst(&self, value: Value) -> Option<&InstData> {
        match self.values[value].def {
            ValueDef::Inst(inst) => Some(&self.insts[inst].data),
            ValueDef::Param(..) => None,
        }
    }

    /// The number that `value` is known to be.
    pub fn as_const(&self, value: Value) -> Option<i64> {
        match self.def_inst(value) {
            Some(InstData::Iconst(n)) => Some(*n),
            _ => None,
        }
    }
}
