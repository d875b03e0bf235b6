//! Models of what threads do to the pages' state at a time.
//!
//! | models | threads | preemptions | s |
//! |---|---|---|---|
//! | `window`: it opens and grows under lookups | 2 to 3 | all | 1 |
//! | `large`: addresses come and go, kept and moved | 2 to 3 | 3 to 4 | 1 |

mod large;
mod window;

use std::boxed::Box;

fn forever<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Checks a model under every order with at most so many preemptions of a
/// thread; `None`: under every order.
fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}
