//! Functions that nothing refers to any more, because the call of the helper that would call them back was removed.
//! The kernel refuses programs with code that no path leads to.

use crate::ir::{FuncRef, Function, InstData, Module};

/// The module without functions that its entry does not lead to.
pub fn without_unused(module: Module) -> Module {
    let n = module.functions.len();
    let mut used = vec![false; n];
    let mut pending = vec![0];
    while let Some(i) = pending.pop() {
        if i < n && !used[i] {
            used[i] = true;
            pending.extend(callees(&module.functions[FuncRef::new(i)]));
        }
    }
    if used.iter().all(|u| *u) {
        return module;
    }
    let mut numbers = vec![FuncRef::new(0); n];
    let mut kept = Module::default();
    for (i, function) in module.functions.iter().enumerate().filter(|(i, _)| used[*i]) {
        numbers[i] = FuncRef::new(kept.functions.len());
        kept.functions.push(function.clone());
    }
    for function in kept.functions.iter_mut() {
        for node in function.insts.iter_mut() {
            if let InstData::FuncAddr(to) | InstData::CallFunc(to, _) = &mut node.data
                && let Some(number) = numbers.get(to.index())
            {
                *to = *number;
            }
        }
    }
    kept
}

fn callees(f: &Function) -> impl Iterator<Item = usize> {
    f.blocks.iter().flat_map(|b| &b.insts).filter_map(|&i| match f.insts[i].data {
        InstData::FuncAddr(to) | InstData::CallFunc(to, _) => Some(to.index()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_called_and_renumbers_it() {
        let text = "fn main(v0: ptr) {\nb0(v0):\n    v1 = iconst 1\n    v2 = call_fn fn2(v1)\n    ret v2\n}\n\
            fn gone(v0: i64) {\nb0(v0):\n    ret v0\n}\nfn used(v0: i64) {\nb0(v0):\n    ret v0\n}\n";
        let module = crate::ir::parse::parse(text).expect("parses");
        let kept = without_unused(module);
        let names: Vec<&str> = kept.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["main", "used"]);
        assert!(kept.to_string().contains("call_fn fn1("), "{kept}");
    }
}
