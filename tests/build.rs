//! Builds the part of the benchmark that is not Rust: boost's `message_queue`, where feature `boost` asks for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(has_boost)");
    #[cfg(feature = "boost")]
    boost();
}

/// Without the headers, or a compiler, everything else is built all the same, and the benchmark says what is missing.
#[cfg(feature = "boost")]
fn boost() {
    const SOURCE: &str = "benches/contender/boost_queue.cpp";
    println!("cargo::rerun-if-changed={SOURCE}");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++14").file(SOURCE);
    match build.try_compile("boost_queue") {
        Ok(()) => println!("cargo::rustc-cfg=has_boost"),
        Err(error) => println!("cargo::warning=no boost message_queue: {error}"),
    }
}
