//! What the workloads are made of: blocks from the process's malloc, and
//! around them tables, queues and threads that take nothing from it while the
//! work runs.

mod block;
mod crew;
mod list;
mod queue;
mod random;
mod table;

pub use block::Block;
pub use crew::crew;
pub use list::List;
pub use queue::Queue;
pub use random::Random;
pub use table::Table;
