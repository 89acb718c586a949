//! Expands a probe spec to attach points and attaches programs to them.
