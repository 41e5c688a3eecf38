//! Training data from simulated episodes: one row a decision, in shards that a trainer can read while more are written.
//!
//! A shard is a directory `shard-<seed>-<index>` of NumPy arrays with equal first dimension (one row a decision):
//! `image.npy` uint8 [n, height, width, 3], `state.npy` float32 [n, 7] (see `policies::features`), `motion.npy`
//! float32 [n, 4] in [-1, 1], `verb.npy` uint8 [n], `episode.npy` int64 [n], `done.npy` uint8 [n] (1 on the last row of
//! an episode), `success.npy` uint8 [n] (the outcome, on that row), `greedy.npy` uint8 [n] (1 without exploration), and
//! `meta.json` with what produced it. It is written under another name and renamed when whole, so a reader never sees
//! a part of one.
//!
//! Not responsible for the simulation ([`crate::rig`]) or for labels: what a row is worth is the trainer's business.

use crate::film::Observer;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use visuomotor_policies::features;
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::clock::Instant;
use visuomotor_runtime::observation::Observation;
use visuomotor_runtime::policy::Decision;

pub struct ShardWriter {
    directory: PathBuf,
    seed: u64,
    scale: ActionScale,
    meta: serde_json::Value,
    episodes_per_shard: usize,
    index: usize,
    episodes: usize,
    rows: Rows,
}

#[derive(Default)]
struct Rows {
    size: [usize; 2],
    image: Vec<u8>,
    state: Vec<u8>,
    motion: Vec<u8>,
    verb: Vec<u8>,
    episode: Vec<u8>,
    done: Vec<u8>,
    success: Vec<u8>,
    greedy: Vec<u8>,
}

impl ShardWriter {
    /// `meta` is stored beside every shard as it is.
    pub fn new(
        directory: &Path,
        seed: u64,
        scale: ActionScale,
        episodes_per_shard: usize,
        meta: serde_json::Value,
    ) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let first = directory.join(format!("shard-{seed}-00000"));
        if first.exists() {
            let why = format!(
                "{} exists: choose another seed or directory",
                first.display()
            );
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Ok(Self {
            directory: directory.to_owned(),
            seed,
            scale,
            meta,
            episodes_per_shard,
            index: 0,
            episodes: 0,
            rows: Rows::default(),
        })
    }

    /// Closes the episode whose decisions were observed since the last call. One without decisions leaves no rows.
    pub fn end_episode(&mut self, id: i64, success: bool, greedy: bool) -> io::Result<()> {
        let rows = &mut self.rows;
        let count = rows.verb.len() - rows.done.len();
        if count == 0 {
            return Ok(());
        }
        for row in 0..count {
            let last = row + 1 == count;
            rows.done.push(u8::from(last));
            rows.success.push(u8::from(last && success));
            rows.greedy.push(u8::from(greedy));
            rows.episode.extend(id.to_le_bytes());
        }
        self.episodes += 1;
        if self.episodes == self.episodes_per_shard {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what is buffered as one shard.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.episodes == 0 {
            return Ok(());
        }
        let name = format!("shard-{}-{:05}", self.seed, self.index);
        let open = self.directory.join(format!("{name}.tmp"));
        if open.exists() {
            fs::remove_dir_all(&open)?;
        }
        fs::create_dir(&open)?;
        let rows = std::mem::take(&mut self.rows);
        let n = rows.done.len();
        let [width, height] = rows.size;
        npy(&open, "image", "|u1", &[n, height, width, 3], &rows.image)?;
        npy(
            &open,
            "state",
            "<f4",
            &[n, features::STATE_LEN],
            &rows.state,
        )?;
        npy(&open, "motion", "<f4", &[n, 4], &rows.motion)?;
        npy(&open, "verb", "|u1", &[n], &rows.verb)?;
        npy(&open, "episode", "<i8", &[n], &rows.episode)?;
        npy(&open, "done", "|u1", &[n], &rows.done)?;
        npy(&open, "success", "|u1", &[n], &rows.success)?;
        npy(&open, "greedy", "|u1", &[n], &rows.greedy)?;
        fs::write(
            open.join("meta.json"),
            serde_json::to_vec_pretty(&self.meta)?,
        )?;
        fs::rename(open, self.directory.join(name))?;
        self.index += 1;
        self.episodes = 0;
        Ok(())
    }
}

impl<const N: usize> Observer<N> for ShardWriter {
    fn decided(
        &mut self,
        observation: &Observation<'_>,
        decision: &Decision,
        _decided_at: Instant,
    ) {
        let rows = &mut self.rows;
        let image = &observation.frame.image;
        rows.size = [image.width as usize, image.height as usize];
        rows.image.extend_from_slice(&image.rgb);
        for x in features::state_vector(&observation.gripper) {
            rows.state.extend(x.to_le_bytes());
        }
        for x in self.scale.motion(&decision.action) {
            rows.motion.extend((x as f32).to_le_bytes());
        }
        rows.verb.push(decision.action.verb as u8);
    }
}

/// One array in NumPy's format, version 1.0 (NEP 1), C order.
fn npy(directory: &Path, name: &str, dtype: &str, shape: &[usize], data: &[u8]) -> io::Result<()> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header =
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length take 10 bytes; the data begins at a multiple of 64, after a newline.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut file = io::BufWriter::new(fs::File::create(directory.join(format!("{name}.npy")))?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(header.len() as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    file.write_all(data)?;
    file.flush()
}
