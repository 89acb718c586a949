//! `cargo xtask soak`: hark under mixed load in a guest for minutes; counts must be exact and memory flat.

use anyhow::{Context, Result, bail};

use crate::guest;

/// What runs in the guest; `$1` is the number of minutes.
const SCRIPT: &str = include_str!("../../bench/soak.sh");

/// Runs it: `--minutes N` (10), `--guest VERSION` (6.1).
pub(crate) fn run(flags: &[String]) -> Result<bool> {
    let (minutes, version) = options(flags)?;
    guest::shell(&version, Some(&command(minutes)))
}

fn options(flags: &[String]) -> Result<(u32, String)> {
    let (mut minutes, mut version) = (10, "6.1".to_owned());
    for pair in flags.chunks(2) {
        match pair {
            [flag, value] if flag == "--minutes" => {
                minutes = value.parse().with_context(|| format!("not a number of minutes: {value}"))?;
            }
            [flag, value] if flag == "--guest" => version.clone_from(value),
            _ => bail!("the flags are --minutes N and --guest VERSION"),
        }
    }
    Ok((minutes, version))
}

/// The script as one command of a shell.
fn command(minutes: u32) -> String {
    format!("set -- {minutes}\n{SCRIPT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_in_any_order() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(options(&[]).expect("defaults"), (10, "6.1".to_owned()));
        let both = options(&words("--guest 6.12 --minutes 3")).expect("both");
        assert_eq!(both, (3, "6.12".to_owned()));
        assert!(options(&words("--minutes")).is_err());
        assert!(options(&words("--minutes x")).is_err());
    }

    #[test]
    fn the_script_is_told_how_long() {
        assert!(command(3).starts_with("set -- 3\n# A soak"));
    }
}
