//! What a run of a function costs, by its paths.
//!
//! Loops are counted as one turn: how often they turn is not known here.

use crate::graph::Cfg;
use crate::mir::{Arg, Block, Callee, Const, Function, Inst};
use bpf_facts::{HelperId, helper_ns};

/// Tenths of a nanosecond for an instruction that is no call.
const INSN_TENTHS: u64 = 4;
/// Bytes that the ring buffer puts before a record (`BPF_RINGBUF_HDR_SZ`), and what it rounds records up to.
const RECORD_HEADER: u64 = 8;

/// A sum over the instructions of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// On the path with the least.
    pub least: u64,
    /// Ten times the mean over paths without cold code, each way of a branch taken as likely.
    pub typical_tenths: u64,
    /// On the path with the most.
    pub most: u64,
}

/// What a run of a function costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The function.
    pub name: String,
    /// Calls of helpers.
    pub calls: Paths,
    /// Bytes of the ring buffer, headers of records included.
    pub ring_bytes: Paths,
    /// Estimate for the longest path, in nanoseconds.
    pub worst_ns: u64,
    /// Whether it has loops.
    pub loops: bool,
}

/// Computes the costs of a function.
pub(crate) fn cost(f: &Function) -> Cost {
    let cfg = f.cfg();
    let loops =
        (0..f.blocks.len()).any(|from| cfg.succs(from).iter().any(|&to| cfg.is_back_edge(from, to as usize)));
    Cost {
        name: f.name.clone(),
        calls: paths(f, &cfg, &|block| {
            block.insts.iter().filter(|n| helper(&n.inst).is_some()).count() as u64
        }),
        ring_bytes: paths(f, &cfg, &|block| block.insts.iter().map(|n| ring_bytes(&n.inst)).sum()),
        worst_ns: paths(f, &cfg, &time).most.div_ceil(10),
        loops,
    }
}

fn helper(inst: &Inst) -> Option<HelperId> {
    match inst {
        Inst::Call { callee: Callee::Helper(id), .. } => Some(HelperId(*id)),
        _ => None,
    }
}

fn ring_bytes(inst: &Inst) -> u64 {
    let Inst::Call { args, .. } = inst else { return 0 };
    match (helper(inst), args.get(1)) {
        (Some(HelperId::RINGBUF_RESERVE), Some(Arg::Const(Const::Imm(n)))) => {
            n.unsigned_abs().next_multiple_of(8) + RECORD_HEADER
        }
        _ => 0,
    }
}

fn time(block: &Block) -> u64 {
    let insts = block.insts.iter();
    INSN_TENTHS
        + insts.map(|n| helper(&n.inst).map_or(INSN_TENTHS, |id| 10 * u64::from(helper_ns(id)))).sum::<u64>()
}

/// Sums of `weight` over the paths from the entry, backwards from the ends.
fn paths(f: &Function, cfg: &Cfg, weight: &dyn Fn(&Block) -> u64) -> Paths {
    let mut sums = vec![Paths::default(); f.blocks.len()];
    for &b in cfg.rpo.iter().rev() {
        let b = b as usize;
        let ahead: Vec<usize> =
            cfg.succs(b).iter().map(|&to| to as usize).filter(|&to| !cfg.is_back_edge(b, to)).collect();
        let warm: Vec<usize> = ahead.iter().copied().filter(|&to| !f.blocks[to].cold).collect();
        let likely = if warm.is_empty() { &ahead } else { &warm };
        let own = weight(&f.blocks[b]);
        let mean = likely.iter().map(|&to| sums[to].typical_tenths).sum::<u64>() / likely.len().max(1) as u64;
        sums[b] = Paths {
            least: own + ahead.iter().map(|&to| sums[to].least).min().unwrap_or(0),
            typical_tenths: 10 * own + mean,
            most: own + ahead.iter().map(|&to| sums[to].most).max().unwrap_or(0),
        };
    }
    sums.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::compile::{Env, Options, compile};
    use crate::frame::Scratch;
    use bpf_facts::{KernelProfile, ProgType};
    use ebpf_asm::MapRef;

    #[test]
    fn paths_differ_in_calls_and_bytes() {
        let text = "\
fn f(v0: ptr) {
b0(v0):
    v1 = call get_current_pid_tgid()
    v2 = iconst 42
    br.eq v1, v2, b1, b2
b1:
    v3 = map m0
    v4 = iconst 20
    v5 = iconst 0
    v6 = call ringbuf_reserve(v3, v4, v5)
    br.ne v6, v5, b3, b2
b2:
    v7 = iconst 0
    ret v7
b3:
    v8 = iconst 0
    call ringbuf_submit(v6, v8)
    ret v8
}
";
        let module = crate::ir::parse::parse(text).expect("the text is well-formed");
        let profile = KernelProfile::named("6.1").expect("a version");
        let env = Env { profile, prog: ProgType::Kprobe, scratch: Scratch::exclusive(MapRef(1)) };
        let compiled = compile(&module, &env, &Options::default()).expect("it compiles");
        let cost = &compiled.stats.costs[0];
        // One call; or two if the ring is full; or three.
        assert_eq!((cost.calls.least, cost.calls.typical_tenths, cost.calls.most), (1, 17, 3), "{cost:?}");
        assert_eq!((cost.ring_bytes.least, cost.ring_bytes.most), (0, 32));
        assert!(!cost.loops && cost.worst_ns > 60);
    }
}
