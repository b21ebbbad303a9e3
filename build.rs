//! Compiles `proto/` in Rust, so that nobody needs protoc.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTOS: [&str; 4] = [
    "kindred/v1/types.proto",
    "kindred/v1/embedding_service.proto",
    "kindred/v1/search_service.proto",
    "kindred/v1/context_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(PROTOS)?;
    // The encoded set keeps what a decoded one would lose, such as custom options; reflection serves it.
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("kindred.bin");
    fs::write(&descriptors, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
