//! rpmalloc's own `pthread_create` is hidden in a cdylib; the one in `lib.rs`
//! takes its place, and both have the name.

fn main() {
    println!("cargo:rustc-link-arg-cdylib=-Wl,-z,muldefs");
}
