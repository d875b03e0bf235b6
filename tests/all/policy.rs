//! The options: each is read, and its effect is seen from outside.

mod program;
mod table;
mod values;
