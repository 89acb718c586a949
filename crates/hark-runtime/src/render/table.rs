//! Maps: their entries, the order they are printed in, and their text.

use super::{Context, compound, text};
use crate::value::{Value, compare};
use hark_object::agg::{Agg, View};
use hark_object::{Ty, UserMap};
use std::cmp::Ordering;

/// The contents of a map at one moment, aggregations merged over CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// Name with its `@`.
    pub name: &'a str,
    /// Types.
    pub map: &'a UserMap,
    /// Keys one after the other; empty for a map without keys.
    pub keys: &'a [u8],
    /// Values one after the other.
    pub values: &'a [u8],
    /// Number of entries.
    pub n: usize,
}

/// What `print` was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only so many of the last in order; 0 for all.
    pub top: usize,
    /// Values are divided by it; 0 and 1 leave them.
    pub div: i64,
}

impl Selection {
    /// Everything as it is.
    pub const ALL: Selection = Selection { top: 0, div: 1 };
}

impl<'a> Entries<'a> {
    /// The `i`th key.
    pub fn key(&self, i: usize) -> Option<Value<'a>> {
        let ty = self.map.key.as_ref()?;
        let size = ty.layout().size as usize;
        Some(Value::of(ty, self.keys.get(i * size..(i + 1) * size).unwrap_or(&[])))
    }

    /// The `i`th value.
    pub fn value(&self, i: usize) -> Value<'a> {
        let size = self.map.value.layout().size as usize;
        Value::of(&self.map.value, self.values.get(i * size..(i + 1) * size).unwrap_or(&[]))
    }

    /// The entries to print, in order: numbers and aggregations by value, all else by key; ties by key.
    pub fn selected(&self, top: usize) -> Vec<usize> {
        let by_value = match &self.map.value {
            Ty::Int { .. } | Ty::Enum(_) => true,
            Ty::Agg(agg) => agg.sorted_by_value(),
            _ => false,
        };
        let mut order: Vec<(i128, usize)> = (0..self.n)
            .map(|i| {
                let rank = match self.value(i) {
                    _ if !by_value => 0,
                    Value::Agg(agg, bytes) => agg.sort_key(bytes),
                    other => other.number().map_or(0, |(n, _)| n),
                };
                (rank, i)
            })
            .collect();
        order.sort_by(|(x, i), (y, j)| x.cmp(y).then_with(|| self.compare_keys(*i, *j)));
        let skipped = if top == 0 { 0 } else { self.n.saturating_sub(top) };
        order.into_iter().skip(skipped).map(|(_, i)| i).collect()
    }

    fn compare_keys(&self, i: usize, j: usize) -> Ordering {
        match (self.key(i), self.key(j)) {
            (Some(x), Some(y)) => compare(&x, &y),
            _ => i.cmp(&j),
        }
    }
}

/// Appends a map: a line per entry; a block with an empty line after it for histograms and series.
pub fn render(cx: &Context<'_>, entries: &Entries<'_>, selection: Selection, out: &mut Vec<u8>) {
    for i in entries.selected(selection.top) {
        out.extend_from_slice(entries.name.as_bytes());
        if let Some(key) = entries.key(i) {
            out.push(b'[');
            key_text(cx, &key, out);
            out.push(b']');
        }
        match entries.value(i) {
            Value::Agg(agg @ (Agg::Hist { .. } | Agg::Lhist { .. } | Agg::Tseries { .. }), bytes) => {
                out.extend_from_slice(b":\n");
                match agg.view(bytes, selection.div) {
                    View::Hist(rows) => super::hist::render(&rows, out),
                    View::Series(series) => super::series::render(cx, &series, out),
                    View::Number(_) | View::Average(_) | View::Stats { .. } => {}
                }
            }
            value => {
                out.extend_from_slice(b": ");
                text::value(cx, &value, selection.div, out);
            }
        }
        out.push(b'\n');
    }
}

/// A key as text: the parentheses of a tuple are left out.
pub fn key_text(cx: &Context<'_>, key: &Value<'_>, out: &mut Vec<u8>) {
    match key {
        Value::Tuple(members) => compound::list(cx, members.clone(), 1, out),
        key => text::value(cx, key, 1, out),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::names::FixedNames;

    /// A map made of entries, as text.
    pub(crate) fn with_entries<R>(
        key: Option<Ty>,
        value: Ty,
        entries: &[(&[u8], &[u8])],
        f: impl FnOnce(&Entries<'_>) -> R,
    ) -> R {
        let fit = |bytes: &[u8], ty: Option<&Ty>| {
            let mut bytes = bytes.to_vec();
            bytes.resize(ty.map_or(0, |ty| ty.layout().size as usize), 0);
            bytes
        };
        let keys: Vec<u8> = entries.iter().flat_map(|(k, _)| fit(k, key.as_ref())).collect();
        let values: Vec<u8> = entries.iter().flat_map(|(_, v)| fit(v, Some(&value))).collect();
        let map = UserMap { key, value, generations: false };
        f(&Entries { name: "@m", map: &map, keys: &keys, values: &values, n: entries.len() })
    }

    fn shown(key: Option<Ty>, value: Ty, entries: &[(&[u8], &[u8])], top: usize, div: i64) -> String {
        with_entries(key, value, entries, |entries| {
            let mut out = Vec::new();
            let cx = Context { names: &FixedNames, trailer: ".." };
            render(&cx, entries, Selection { top, div }, &mut out);
            String::from_utf8(out).expect("utf-8")
        })
    }

    fn name() -> Option<Ty> {
        Some(Ty::Str { cap: 4 })
    }

    fn words(words: &[i64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn a_map_without_keys_is_one_line() {
        assert_eq!(shown(None, Ty::I64, &[(b"", &words(&[4096]))], 0, 1), "@m: 4096\n");
        assert_eq!(shown(None, Ty::Str { cap: 4 }, &[(b"", b"")], 0, 1), "@m: \n");
    }

    #[test]
    fn numbers_are_sorted_by_value_and_ties_by_key() {
        let entries: &[(&[u8], &[u8])] = &[(b"b", &[1]), (b"a", &[3]), (b"d", &[255]), (b"c", &[1])];
        let signed = Ty::Int { bytes: 1, signed: true };
        assert_eq!(shown(name(), signed.clone(), entries, 0, 1), "@m[d]: -1\n@m[b]: 1\n@m[c]: 1\n@m[a]: 3\n");
        assert_eq!(shown(name(), signed.clone(), entries, 2, 1), "@m[c]: 1\n@m[a]: 3\n");
        assert_eq!(shown(name(), signed, entries, 1, 2), "@m[a]: 1\n");
        let unsigned = Ty::Int { bytes: 1, signed: false };
        assert!(shown(name(), unsigned, entries, 0, 0).ends_with("@m[d]: 255\n"));
    }

    #[test]
    fn other_values_are_sorted_by_key() {
        let key = Ty::Tuple(vec![Ty::Int { bytes: 1, signed: true }, Ty::Str { cap: 4 }]);
        let value = Ty::Tuple(vec![Ty::Int { bytes: 1, signed: true }; 2]);
        let entries: &[(&[u8], &[u8])] = &[(b"\x01b", &[1, 2]), (b"\x01a", &[5, 6]), (b"\xffz", &[0, 0])];
        assert_eq!(
            shown(Some(key.clone()), value.clone(), entries, 0, 1),
            "@m[-1, z]: (0, 0)\n@m[1, a]: (5, 6)\n@m[1, b]: (1, 2)\n"
        );
        assert_eq!(shown(Some(key), value, entries, 2, 2), "@m[1, a]: (2, 3)\n@m[1, b]: (0, 1)\n");
        assert_eq!(
            shown(name(), Ty::Ptr, &[(b"a", &[50]), (b"b", &[40])], 0, 2),
            "@m[a]: 0x32\n@m[b]: 0x28\n"
        );
    }

    #[test]
    fn averages_are_sorted_by_average_and_divided() {
        let entries: &[(&[u8], &[u8])] =
            &[(b"a", &words(&[5, 1])), (b"b", &words(&[-5, 1])), (b"c", &words(&[0, 1]))];
        let avg = Ty::Agg(Agg::Avg { signed: true });
        assert_eq!(shown(name(), avg.clone(), entries, 0, 1), "@m[b]: -5\n@m[c]: 0\n@m[a]: 5\n");
        assert_eq!(shown(name(), avg, entries, 5, 2), "@m[b]: -2\n@m[c]: 0\n@m[a]: 2\n");
        let stats = Ty::Agg(Agg::Stats { signed: true });
        assert_eq!(
            shown(name(), stats, &[(b"a", &words(&[13, 2])), (b"b", &words(&[9, 1]))], 0, 2),
            "@m[a]: { .count = 2, .average = 3, .total = 13 }\n@m[b]: { .count = 1, .average = 4, .total = 9 }\n"
        );
    }

    #[test]
    fn extremes_are_sorted_by_their_sign() {
        let entries: &[(&[u8], &[u8])] = &[
            (b"a", &words(&[-5, 1])),
            (b"b", &words(&[3, 1])),
            (b"c", &words(&[-7, 1])),
            (b"d", &words(&[9, 0])),
        ];
        let min = Ty::Agg(Agg::Min { signed: true });
        assert_eq!(shown(name(), min.clone(), entries, 0, 1), "@m[c]: -7\n@m[a]: -5\n@m[d]: 0\n@m[b]: 3\n");
        assert_eq!(shown(name(), min, entries, 0, 2), "@m[c]: -3\n@m[a]: -2\n@m[d]: 0\n@m[b]: 1\n");
    }

    #[test]
    fn histograms_have_bars_and_an_empty_line() {
        let agg = Agg::Hist { k: 0 };
        let counts = |pairs: &[(usize, i64)]| {
            let mut all = vec![0; agg.size() as usize / 8];
            pairs.iter().for_each(|(bucket, n)| all[*bucket] = *n);
            words(&all)
        };
        let big = counts(&[(4, 10), (5, 3), (8, 1)]);
        assert_eq!(
            shown(None, Ty::Agg(agg), &[(b"", &big)], 0, 1),
            "@m:\n\
             [4, 8)                10 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n\
             [8, 16)                3 |@@@@@@@@@@@@@@@                                     |\n\
             [16, 32)               0 |                                                    |\n\
             [32, 64)               0 |                                                    |\n\
             [64, 128)              1 |@@@@@                                               |\n\
             \n"
        );
        assert_eq!(
            shown(None, Ty::Agg(agg), &[(b"", &big)], 0, 4),
            "@m:\n\
             [4, 8)                 2 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n\
             [8, 16)                0 |                                                    |\n\
             [16, 32)               0 |                                                    |\n\
             [32, 64)               0 |                                                    |\n\
             [64, 128)              0 |                                                    |\n\
             \n"
        );
        let keyed: &[(&[u8], &[u8])] = &[(b"a", &big), (b"b", &counts(&[(0, 1)]))];
        let text = shown(name(), Ty::Agg(agg), keyed, 0, 1);
        assert!(text.starts_with("@m[b]:\n(..., 0)               1 |@@@@"), "{text}");
        assert!(text.contains("|\n\n@m[a]:\n[4, 8) "), "{text}");
        assert_eq!(shown(None, Ty::Agg(agg), &[(b"", &counts(&[]))], 0, 1), "@m:\n\n");
    }

    #[test]
    fn linear_histograms_are_not_divided() {
        let agg = Agg::Lhist { min: 0, max: 10, step: 1 };
        let mut all = vec![0; agg.size() as usize / 8];
        (all[6], all[8]) = (10, 1);
        assert_eq!(
            shown(None, Ty::Agg(agg), &[(b"", &words(&all))], 0, 4),
            "@m:\n\
             [5]                   10 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n\
             [6]                    0 |                                                    |\n\
             [7]                    1 |@@@@@                                               |\n\
             \n"
        );
    }
}
