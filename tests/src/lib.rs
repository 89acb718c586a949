//! Golden, conformance, kernel and tidy tests live in this package.
