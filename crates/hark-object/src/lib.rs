//! What a compiled script is: programs, maps, events, value layouts.
