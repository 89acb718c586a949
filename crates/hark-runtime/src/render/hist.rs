//! Histograms as text: a row per bucket with a bar.

use super::decimal;
use hark_object::agg::Bucket;

/// Characters of the longest bar.
const BAR: usize = 52;
const LABEL: usize = 16;
const COUNT: usize = 8;

/// `[2, 4)                 8 |@@@@@@@@@@     |` for each bucket.
pub(super) fn render(rows: &[Bucket], out: &mut Vec<u8>) {
    let max = rows.iter().map(|row| row.count).max().unwrap_or(0);
    for row in rows {
        let from = out.len();
        out.extend_from_slice(row.label.as_bytes());
        super::pad(out, from, LABEL, true, b' ');
        let from = out.len();
        decimal(out, i128::from(row.count));
        super::pad(out, from, COUNT, false, b' ');
        out.extend_from_slice(b" |");
        let bar = (u128::from(row.count) * BAR as u128).checked_div(u128::from(max)).unwrap_or(0) as usize;
        out.resize(out.len() + bar, b'@');
        out.resize(out.len() + BAR - bar, b' ');
        out.extend_from_slice(b"|\n");
    }
}
