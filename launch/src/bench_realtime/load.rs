//! Everything else that a machine may have to do: a busy thread for every CPU, and a writer that syncs a file.
//!
//! All at ordinary priority. Not responsible for what it does to others.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

const BLOCK_BYTES: usize = 1 << 20;
/// Then the file is written again from its beginning.
const BLOCKS: u64 = 64;

/// Lasts until it is dropped.
pub struct Load {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get())
}

impl Load {
    /// Its file is in `directory`.
    pub fn start(directory: &Path) -> io::Result<Self> {
        let mut load = Self {
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let mut file = File::create(directory.join("load"))?;
        let ended = load.ended.clone();
        let mut write = move || {
            let block = vec![0x5A; BLOCK_BYTES];
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                if number % BLOCKS == 0 {
                    file.seek(SeekFrom::Start(0))?;
                }
                file.write_all(&block)?;
                file.sync_data()?;
            }
            Ok(())
        };
        let writer = Builder::new().name("load".into()).spawn(move || {
            let written: io::Result<()> = write();
            if let Err(error) = written {
                tracing::warn!("no load on the disk: {error}");
            }
        });
        load.threads.push(writer?);
        for _ in 0..cpus() {
            let ended = load.ended.clone();
            let busy = Builder::new().name("load".into()).spawn(move || {
                let mut number = 1_u64;
                while !ended.load(Ordering::Relaxed) {
                    for _ in 0..10_000 {
                        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) + 1);
                    }
                }
            });
            load.threads.push(busy?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
