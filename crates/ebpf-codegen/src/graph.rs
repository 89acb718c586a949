//! Control-flow graphs: order, predecessors, dominators, loops. Shared by both IRs; nodes are block numbers.

/// Marks "no node".
const NONE: u32 = u32::MAX;

/// A control-flow graph with its reverse postorder and dominator tree. Node 0 is the entry.
#[derive(Clone, Debug)]
pub struct Cfg {
    succs: Lists,
    preds: Lists,
    /// Reachable nodes in reverse postorder.
    pub rpo: Vec<u32>,
    pos: Vec<u32>,
    idom: Vec<u32>,
    /// Entry and exit numbers of a walk over the dominator tree.
    span: Vec<(u32, u32)>,
}

/// A list of numbers per node, in one piece of memory.
#[derive(Clone, Debug)]
struct Lists {
    items: Vec<u32>,
    ends: Vec<u32>,
}

impl Lists {
    fn new<I: IntoIterator<Item = u32>>(lists: impl Iterator<Item = I>) -> Self {
        let mut all = Lists { items: Vec::new(), ends: Vec::new() };
        for list in lists {
            all.items.extend(list);
            all.ends.push(all.items.len() as u32);
        }
        all
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, node: usize) -> &[u32] {
        let start = if node == 0 { 0 } else { self.ends[node - 1] };
        &self.items[start as usize..self.ends[node] as usize]
    }

    /// The edges turned round, of the nodes in `order` only; in its order.
    fn reversed(&self, order: &[u32]) -> Lists {
        let mut ends = vec![0u32; self.len()];
        for &node in order {
            for &to in self.get(node as usize) {
                ends[to as usize] += 1;
            }
        }
        let mut sum = 0;
        let mut next: Vec<u32> = Vec::with_capacity(self.len());
        for end in &mut ends {
            next.push(sum);
            sum += *end;
            *end = sum;
        }
        let mut items = vec![0; sum as usize];
        for &node in order {
            for &to in self.get(node as usize) {
                items[next[to as usize] as usize] = node;
                next[to as usize] += 1;
            }
        }
        Lists { items, ends }
    }
}

impl Cfg {
    /// Builds the graph that has these successors for each node.
    pub fn new<I: IntoIterator<Item = u32>>(succs: impl Iterator<Item = I>) -> Self {
        let succs = Lists::new(succs);
        let n = succs.len();
        let rpo = reverse_postorder(&succs);
        let mut pos = vec![NONE; n];
        for (i, &node) in rpo.iter().enumerate() {
            pos[node as usize] = i as u32;
        }
        let preds = succs.reversed(&rpo);
        let idom = dominators(&rpo, &pos, &preds);
        let span = tree_spans(&rpo, &idom);
        Self { succs, preds, rpo, pos, idom, span }
    }

    /// Successors of a node.
    pub fn succs(&self, node: usize) -> &[u32] {
        self.succs.get(node)
    }

    /// Reachable predecessors of a node, one entry per edge.
    pub fn preds(&self, node: usize) -> &[u32] {
        self.preds.get(node)
    }

    /// Whether the entry reaches `node`.
    pub fn reachable(&self, node: usize) -> bool {
        self.pos[node] != NONE
    }

    /// Position in reverse postorder; meaningless for unreachable nodes.
    pub fn order(&self, node: usize) -> usize {
        self.pos[node] as usize
    }

    /// Immediate dominator; `None` for the entry and for unreachable nodes.
    pub fn idom(&self, node: usize) -> Option<usize> {
        match self.idom[node] {
            NONE => None,
            d if d as usize == node => None,
            d => Some(d as usize),
        }
    }

    /// Whether every path to `b` goes through `a` (a node dominates itself). Both must be reachable.
    pub fn dominates(&self, a: usize, b: usize) -> bool {
        self.span[a].0 <= self.span[b].0 && self.span[b].1 <= self.span[a].1
    }

    /// The nearest node that dominates both. Both must be reachable.
    pub fn common_dominator(&self, a: usize, b: usize) -> usize {
        let (mut a, mut b) = (a, b);
        while a != b {
            if self.pos[a] > self.pos[b] {
                a = self.idom[a] as usize;
            } else {
                b = self.idom[b] as usize;
            }
        }
        a
    }

    /// Whether the edge goes back in reverse postorder (in a reducible graph: to a loop header).
    pub fn is_back_edge(&self, from: usize, to: usize) -> bool {
        self.pos[from] >= self.pos[to]
    }

    /// Loop depth of each node: how many natural loops it lies in.
    pub fn loop_depths(&self) -> Vec<u32> {
        let mut depth = vec![0; self.succs.len()];
        for (_, body) in self.loops() {
            for node in body {
                depth[node as usize] += 1;
            }
        }
        depth
    }

    /// The natural loops: header and all nodes (header included), in order of the header.
    pub fn loops(&self) -> Vec<(u32, Vec<u32>)> {
        let mut loops = Vec::new();
        let mut mark = vec![NONE; self.succs.len()];
        for &header in &self.rpo {
            let mut body = vec![header];
            mark[header as usize] = header;
            let mut work: Vec<u32> = self
                .preds(header as usize)
                .iter()
                .copied()
                .filter(|&p| self.dominates(header as usize, p as usize))
                .collect();
            if work.is_empty() {
                continue;
            }
            while let Some(node) = work.pop() {
                if mark[node as usize] != header {
                    mark[node as usize] = header;
                    body.push(node);
                    work.extend(self.preds(node as usize));
                }
            }
            loops.push((header, body));
        }
        loops
    }
}

/// Iterative depth-first search; the last successor is visited first, so that in the result the first successor of
/// a branch directly follows it where possible.
fn reverse_postorder(succs: &Lists) -> Vec<u32> {
    let mut order = Vec::with_capacity(succs.len());
    if succs.len() == 0 {
        return order;
    }
    let mut seen = vec![false; succs.len()];
    let mut stack = vec![(0u32, succs.get(0).len())];
    seen[0] = true;
    while let Some((node, left)) = stack.last_mut() {
        if *left == 0 {
            order.push(*node);
            stack.pop();
            continue;
        }
        *left -= 1;
        let to = succs.get(*node as usize)[*left];
        if !seen[to as usize] {
            seen[to as usize] = true;
            stack.push((to, succs.get(to as usize).len()));
        }
    }
    order.reverse();
    order
}

/// Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". The entry dominates itself.
fn dominators(rpo: &[u32], pos: &[u32], preds: &Lists) -> Vec<u32> {
    let mut idom = vec![NONE; pos.len()];
    if rpo.is_empty() {
        return idom;
    }
    idom[rpo[0] as usize] = rpo[0];
    let mut changed = true;
    while changed {
        changed = false;
        for &node in &rpo[1..] {
            let mut new = NONE;
            for &p in preds.get(node as usize) {
                if idom[p as usize] == NONE {
                    continue;
                }
                if new == NONE {
                    new = p;
                    continue;
                }
                let (mut a, mut b) = (p, new);
                while a != b {
                    if pos[a as usize] > pos[b as usize] {
                        a = idom[a as usize];
                    } else {
                        b = idom[b as usize];
                    }
                }
                new = a;
            }
            if idom[node as usize] != new {
                idom[node as usize] = new;
                changed = true;
            }
        }
    }
    idom
}

fn tree_spans(rpo: &[u32], idom: &[u32]) -> Vec<(u32, u32)> {
    let mut span = vec![(0, 0); idom.len()];
    let Some(&root) = rpo.first() else { return span };
    // Children as linked lists; a node comes before its children in the order.
    let (mut child, mut sibling) = (vec![NONE; idom.len()], vec![NONE; idom.len()]);
    for &node in rpo[1..].iter().rev() {
        let parent = idom[node as usize] as usize;
        sibling[node as usize] = child[parent];
        child[parent] = node;
    }
    let mut clock = 0;
    let mut stack = vec![root];
    span[root as usize].0 = clock;
    while let Some(&node) = stack.last() {
        clock += 1;
        let next = std::mem::replace(&mut child[node as usize], NONE);
        if next == NONE {
            span[node as usize].1 = clock;
            stack.pop();
        } else {
            child[node as usize] = sibling[next as usize];
            span[next as usize].0 = clock;
            stack.push(next);
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::Cfg;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    #[test]
    fn a_diamond_in_a_loop() {
        // 0 → 1 → {2, 3} → 4 → {1, 5}
        let cfg = Cfg::new([vec![1], vec![2, 3], vec![4], vec![4], vec![1, 5], vec![], vec![1]].into_iter());
        assert_eq!(cfg.rpo, [0, 1, 2, 3, 4, 5]);
        assert_eq!(cfg.idom(4), Some(1));
        assert_eq!(cfg.common_dominator(2, 5), 1);
        assert!(!cfg.reachable(6));
        assert_eq!(cfg.preds(1), [0, 4], "an unreachable predecessor does not count");
        assert_eq!(cfg.loop_depths(), [0, 1, 1, 1, 1, 0, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// `a` dominates `b` exactly if `b` cannot be reached without `a`.
        #[test]
        fn dominance_is_what_it_says(edges in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..20)) {
            let n = 8;
            let mut succs = vec![Vec::new(); n];
            for (a, b) in edges {
                succs[a as usize % n].push(u32::from(b) % n as u32);
            }
            let cfg = Cfg::new(succs.clone().into_iter());
            for a in (0..n).filter(|&a| cfg.reachable(a)) {
                let mut seen = vec![false; n];
                let mut work = if a == 0 { vec![] } else { vec![0usize] };
                while let Some(at) = work.pop() {
                    if !std::mem::replace(&mut seen[at], true) {
                        work.extend(succs[at].iter().map(|&s| s as usize).filter(|&s| s != a));
                    }
                }
                for b in (0..n).filter(|&b| cfg.reachable(b)) {
                    prop_assert_eq!(cfg.dominates(a, b), a == b || !seen[b]);
                }
            }
        }
    }
}
