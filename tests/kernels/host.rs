//! The driver `kernels/host/run.cpp`: compiled once into `target/`, given a case, asked for what the kernel wrote.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use xxhash_rust::xxh3::Xxh3;

/// No contraction, as on the device with -fmad=false.
const OPTIONS: [&str; 9] = [
    "-std=c++17",
    "-O1",
    "-g",
    "-ffp-contract=off",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Werror",
];

/// The compiled driver. Says loudly that `test` is skipped without a C++ compiler.
pub(super) fn driver(test: &str) -> Option<Driver> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("SKIPPED: {test}: no C++ compiler ({})", Path::new(&compiler).display());
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("kernels");
    let folder = root.join("target/kernels_on_the_host");
    fs::create_dir_all(&folder).expect("target can be written to");
    // Tests run in processes of their own, at once: the first one compiles.
    let lock = File::create(folder.join("lock")).expect("a file in target");
    lock.lock().expect("files of target can be locked");
    let program = folder.join(format!("run-{:016x}", hash_of(&sources)));
    if !program.exists() {
        let fresh = program.with_extension("fresh");
        let main = sources.join("host/run.cpp");
        let made = Command::new(&compiler).args(OPTIONS).arg("-o").arg(&fresh).args(["-x", "c++"]).arg(main).output();
        let made = made.expect("the compiler starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::rename(fresh, &program).expect("one folder");
    }
    Some(Driver { program })
}

fn hash_of(sources: &Path) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(OPTIONS.concat().as_bytes());
    for entry in walkdir::WalkDir::new(sources).sort_by_file_name() {
        let entry = entry.expect("kernels is readable");
        if entry.file_type().is_file() {
            hash.update(&fs::read(entry.path()).expect("kernels is readable"));
        }
    }
    hash.digest()
}

pub(super) struct Driver {
    program: PathBuf,
}

/// A launch: the kernel, its grid and block, its arguments in order.
pub(super) struct Case {
    bytes: Vec<u8>,
    /// Length of each buffer that the kernel may write to.
    written: Vec<usize>,
    /// For how many blocks there is room at once; for all if absent.
    room: Option<usize>,
}

/// What a kernel wrote, buffer by buffer.
pub(super) struct Answer(std::vec::IntoIter<Vec<u8>>);

impl Driver {
    pub(super) fn run(&self, case: &Case) -> Answer {
        let output = self.output(case);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let mut rest = &output.stdout[..];
        let buffers = case.written.iter().map(|&length| {
            let (buffer, others) = rest.split_at(length);
            rest = others;
            buffer.to_vec()
        });
        let buffers: Vec<_> = buffers.collect();
        assert!(rest.is_empty(), "{} bytes more than were asked for", rest.len());
        Answer(buffers.into_iter())
    }

    pub(super) fn output(&self, case: &Case) -> Output {
        let mut child = Command::new(&self.program)
            .args(case.room.map(|blocks| blocks.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the driver starts");
        // The driver reads the whole case before it writes; one that ended early says why on its standard error.
        let _ = child.stdin.take().expect("piped").write_all(&case.bytes);
        child.wait_with_output().expect("the driver ends")
    }
}

impl Case {
    pub(super) fn new(kernel: &str, grid: [usize; 3], block: [usize; 3]) -> Self {
        let mut bytes = (kernel.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(kernel.as_bytes());
        for side in grid.into_iter().chain(block) {
            bytes.extend((side as u32).to_le_bytes());
        }
        Self { bytes, written: Vec::new(), room: None }
    }

    pub(super) fn room(self, blocks: Option<usize>) -> Self {
        Self { room: blocks, ..self }
    }

    pub(super) fn int(mut self, value: usize) -> Self {
        self.bytes.extend((value as i32).to_le_bytes());
        self
    }

    pub(super) fn float(mut self, value: f32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// A structure of floats.
    pub(super) fn floats(mut self, values: &[f32]) -> Self {
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    /// A structure of doubles.
    pub(super) fn doubles(mut self, values: &[f64]) -> Self {
        self.bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    pub(super) fn null(mut self) -> Self {
        self.bytes.push(0);
        self
    }

    /// A buffer that is read.
    pub(super) fn input(mut self, bytes: &[u8]) -> Self {
        self.bytes.push(1);
        self.bytes.extend((bytes.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A buffer that is read and written.
    pub(super) fn changed(mut self, bytes: &[u8]) -> Self {
        self.written.push(bytes.len());
        self.input(bytes)
    }

    /// A buffer that is written: it holds what no kernel writes, so that what is left out shows.
    pub(super) fn output(self, length: usize) -> Self {
        self.changed(&vec![0xa5; length])
    }
}

impl Answer {
    pub(super) fn bytes(&mut self) -> Vec<u8> {
        self.0.next().expect("a buffer for each one that is written")
    }

    pub(super) fn floats(&mut self) -> Vec<f32> {
        self.bytes().as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }

    pub(super) fn halves(&mut self) -> Vec<u16> {
        self.bytes().as_chunks().0.iter().map(|two| u16::from_le_bytes(*two)).collect()
    }
}

pub(super) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn bytes_of_halves(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
