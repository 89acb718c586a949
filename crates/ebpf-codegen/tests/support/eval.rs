//! Runs IR.

use super::memory::{ARRAY, CTX, FRAMES, Outcome, Trap, World, address};
use ebpf_asm::{AtomicOp, Size};
use ebpf_codegen::ir::{BinOp, Block, Cond, Function, InstData, Terminator, UnOp, Value};

/// Runs a function of one argument, the context.
pub fn run(f: &Function, ctx: &[u8]) -> Result<Outcome, Trap> {
    let mut world = World::new(ctx);
    for (slot, data) in f.slots.entries() {
        world.add(FRAMES + slot.index() as u32, vec![0x55; data.size as usize]);
    }
    let mut values = vec![0u64; f.values.len()];
    let mut block = f.entry();
    if let Some(&p) = f.blocks[block].params.first() {
        values[p.index()] = address(CTX, 0);
    }
    for _ in 0..100_000 {
        for &inst in &f.blocks[block].insts {
            let node = &f.insts[inst];
            let result = step(&mut world, &node.data, &|v: Value| values[v.index()])?;
            if let Some(r) = node.result {
                values[r.index()] = result;
            }
        }
        let to = match &f.blocks[block].term {
            Terminator::Jump(to) => to,
            Terminator::Branch { cond, lhs, rhs, then, els } => {
                if compare(*cond, values[lhs.index()], values[rhs.index()]) { then } else { els }
            }
            Terminator::Return(v) => return Ok(world.outcome(values[v.index()])),
            Terminator::None => return Err("no terminator".to_string()),
        };
        let args: Vec<u64> = to.args.iter().map(|a| values[a.index()]).collect();
        block = Block::new(to.block.index());
        for (&p, a) in f.blocks[block].params.iter().zip(args) {
            values[p.index()] = a;
        }
    }
    Err("runs too long".to_string())
}

fn at(base: u64, off: i32) -> u64 {
    base.wrapping_add(off as i64 as u64)
}

fn step(w: &mut World, data: &InstData, get: &dyn Fn(Value) -> u64) -> Result<u64, Trap> {
    Ok(match data {
        InstData::Iconst(n) => *n as u64,
        InstData::Binary(op, a, b) => binary(*op, get(*a), get(*b)),
        InstData::Unary(op, a) => unary(*op, get(*a)),
        InstData::Icmp(cond, a, b) => u64::from(compare(*cond, get(*a), get(*b))),
        InstData::Select(c, a, b) => get(if get(*c) != 0 { *a } else { *b }),
        InstData::PtrAdd(p, n) => get(*p).wrapping_add(get(*n)),
        InstData::PtrOff(p, n) => at(get(*p), *n),
        InstData::Load { size, sext, ptr, off } => {
            let raw = w.load(at(get(*ptr), *off), size.bytes() as usize)?;
            if *sext { sign_extend(raw, *size) } else { raw }
        }
        InstData::LoadPtr { ptr, off } => w.load(at(get(*ptr), *off), 8)?,
        InstData::Store { size, value, ptr, off } => {
            w.store(at(get(*ptr), *off), size.bytes() as usize, get(*value))?;
            0
        }
        InstData::Atomic { op, size, value, ptr, off, .. } => {
            let (to, size) = (at(get(*ptr), *off), size.bytes() as usize);
            let old = w.load(to, size)?;
            w.store(to, size, atomic(*op, old, get(*value)))?;
            old
        }
        InstData::MemZero { ptr, off, len } => {
            w.fill(at(get(*ptr), *off), 0, *len as usize)?;
            0
        }
        InstData::MemCopy { dst, dst_off, src, src_off, len, .. } => {
            w.copy(at(get(*dst), *dst_off), at(get(*src), *src_off), *len as usize)?;
            0
        }
        InstData::SlotAddr(slot, off) => address(FRAMES + slot.index() as u32, *off),
        InstData::MapAddr(map) => u64::from(map.0),
        InstData::MapValueAddr(_, off) => address(ARRAY, *off),
        InstData::CallHelper(id, args) => {
            let args: Vec<u64> = args.iter().map(|a| get(*a)).collect();
            w.helper(id.0, &args)?
        }
        InstData::FuncAddr(_)
        | InstData::BtfVarAddr(_)
        | InstData::CallFunc(..)
        | InstData::CallKfunc { .. } => {
            return Err("not simulated".to_string());
        }
    })
}

pub fn atomic(op: AtomicOp, old: u64, value: u64) -> u64 {
    match op {
        AtomicOp::Add => old.wrapping_add(value),
        AtomicOp::Or => old | value,
        AtomicOp::And => old & value,
        AtomicOp::Xor => old ^ value,
        AtomicOp::Xchg | AtomicOp::Cmpxchg => value,
    }
}

fn sign_extend(raw: u64, size: Size) -> u64 {
    let by = 64 - size.bytes() * 8;
    ((raw << by) as i64 >> by) as u64
}

fn binary(op: BinOp, a: u64, b: u64) -> u64 {
    let (sa, sb) = (a as i64, b as i64);
    match op {
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Udiv => a.checked_div(b).unwrap_or(0),
        BinOp::Umod => a.checked_rem(b).unwrap_or(a),
        BinOp::Sdiv => match (sa, sb) {
            (_, 0) => 0,
            (i64::MIN, -1) => a,
            _ => (sa / sb) as u64,
        },
        BinOp::Smod => match (sa, sb) {
            (_, 0) => a,
            (_, -1) => 0,
            _ => (sa % sb) as u64,
        },
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::Shl => a << (b & 63),
        BinOp::Lshr => a >> (b & 63),
        BinOp::Ashr => (sa >> (b & 63)) as u64,
    }
}

fn unary(op: UnOp, a: u64) -> u64 {
    match op {
        UnOp::Neg => a.wrapping_neg(),
        UnOp::Not => !a,
        UnOp::Zext(size) => a << (64 - size.bytes() * 8) >> (64 - size.bytes() * 8),
        UnOp::Sext(size) => sign_extend(a, size),
        UnOp::Bswap(size) => a.swap_bytes() >> (64 - size.bytes() * 8),
    }
}

fn compare(cond: Cond, a: u64, b: u64) -> bool {
    let (sa, sb) = (a as i64, b as i64);
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Ult => a < b,
        Cond::Ule => a <= b,
        Cond::Ugt => a > b,
        Cond::Uge => a >= b,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
    }
}
