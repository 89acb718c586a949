//! Kernel versions.

use std::fmt;

/// A kernel version, major and minor: `V(5, 10)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct V(pub u16, pub u16);

impl V {
    /// Reads `6.1`, `6.18.44-foo`, `v5.10`: what follows the second number is ignored.
    pub fn parse(text: &str) -> Option<V> {
        let mut parts = text.trim().trim_start_matches('v').split('.');
        let major = parts.next()?.parse().ok()?;
        let minor: String = parts.next().unwrap_or("0").chars().take_while(char::is_ascii_digit).collect();
        Some(V(major, minor.parse().ok()?))
    }
}

impl fmt::Display for V {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_uname_prints() {
        assert_eq!(V::parse("6.18.44-fc-v669"), Some(V(6, 18)));
        assert_eq!(V::parse("5.10"), Some(V(5, 10)));
        assert_eq!(V::parse("7"), Some(V(7, 0)));
        assert_eq!(V::parse("x"), None);
        assert!(V(5, 10) < V(6, 1));
    }
}
