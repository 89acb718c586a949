//! Loads an object, runs the event loop, prints maps and events.
