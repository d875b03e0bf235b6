//! Compiles the C++ side of the failing operators, and sets the linker's
//! flags for `libbifold.so`.

fn main() {
    println!("cargo::rerun-if-changed=src/operators.cpp");
    println!("cargo::rerun-if-changed=layout.ld");
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
    if takes_layout() {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-T,{directory}/layout.ld");
    }
}

/// Whether the linker takes a script that adds to its own. mold and wild do not, and
/// gold does not know `INSERT`; the library is as good with them, and some 60 KiB
/// more of it in memory.
fn takes_layout() -> bool {
    let told = ["RUSTC_LINKER", "CARGO_ENCODED_RUSTFLAGS"];
    let told = told.map(|name| std::env::var(name).unwrap_or_default());
    let others = ["mold", "wild", "gold"];
    !others
        .iter()
        .any(|linker| told.iter().any(|text| text.contains(linker)))
}
