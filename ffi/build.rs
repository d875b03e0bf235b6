//! Compiles the C++ side of the failing operators, and sets the linker's
//! flags for `libbifold.so`.

fn main() {
    println!("cargo::rerun-if-changed=src/operators.cpp");
    cc::Build::new()
        .cpp(true)
        // Without the C++ runtime's library: see the file.
        .cpp_link_stdlib(None)
        .flag("-std=c++17")
        .flag("-fno-rtti")
        .flag("-fexceptions")
        .opt_level(2)
        .file("src/operators.cpp")
        .compile("bifold_operators");
    for argument in [
        // Threads may be in a function of ours at any time, and the hooks
        // for thread exit and fork cannot be taken back.
        "-Wl,-z,nodelete",
        // A missing symbol is an error now, not in somebody's process.
        "-Wl,-z,defs",
        "-Wl,-z,now",
        // Calls from inside to an exported function stay inside.
        "-Wl,-Bsymbolic-functions",
        // What is written to starts on a page of its own: a process has as few
        // pages of ours for itself as can be.
        "-Wl,-z,separate-loadable-segments",
    ] {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
