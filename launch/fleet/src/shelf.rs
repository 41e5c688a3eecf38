//! Where whole episodes end up: a directory, or an object store.
//!
//! Responsible for one thing: a file gets a name that was free, durably, or it does not. Not for which name
//! ([`crate::archive`]).

use crate::{BLOCK_BYTES_MAX, FleetError, at};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Up to this size an object is put in one request, which can demand that its key is free; beyond, in parts of this size.
const OBJECT_BYTES_MAX: u64 = 32 << 20;

#[derive(Debug)]
pub enum Shelf {
    Directory(PathBuf),
    Objects(Objects),
}

pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
    runtime: Runtime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    Here,
    /// Something else has this name.
    Taken,
    /// These very bytes have it.
    Same,
}

impl Shelf {
    /// Objects below a prefix of a store, whatever kind it is.
    pub fn objects(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, FleetError> {
        let store_error = |error: &dyn fmt::Display| FleetError::Store(error.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| store_error(&error))?;
        Ok(Self::Objects(Objects {
            store,
            prefix: object_store::path::Path::parse(prefix).map_err(|error| store_error(&error))?,
            runtime,
        }))
    }

    /// Of `s3://bucket/prefix`; credentials, region and endpoint come from the usual `AWS_*` variables.
    #[cfg(feature = "s3")]
    pub fn s3(bucket: &str, prefix: &str) -> Result<Self, FleetError> {
        let store = object_store::aws::AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .build()
            .map_err(|error| FleetError::Store(error.to_string()))?;
        Self::objects(Arc::new(store), prefix)
    }

    /// Gives the file, whose bytes are on the disk, the name `robot/name` unless it is taken.
    pub(crate) fn place(&self, file: &Path, robot: &str, name: &str) -> io::Result<Placed> {
        match self {
            Self::Directory(root) => place_in_directory(file, root, robot, name),
            Self::Objects(objects) => {
                let key = objects.prefix.clone().join(robot).join(name);
                objects
                    .runtime
                    .block_on(objects.put(file, &key))
                    .map_err(io::Error::other)
            }
        }
    }
}

/// Two names for one file, then one: a hard link, unlike a rename, never replaces what has the name already.
fn place_in_directory(file: &Path, root: &Path, robot: &str, name: &str) -> io::Result<Placed> {
    let directory = root.join(robot);
    match fs::create_dir(&directory) {
        Ok(()) => File::open(root)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    match fs::hard_link(file, directory.join(name)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Perhaps by an earlier attempt that failed after this step.
            let same = is_same(file, &directory.join(name))?;
            if !same {
                return Ok(Placed::Taken);
            }
        }
        Err(error) => return Err(error),
    }
    // The name is on the disk only when its directory is.
    File::open(&directory)?.sync_all()?;
    fs::remove_file(file)?;
    Ok(Placed::Here)
}

/// Whether these are two names of one file.
fn is_same(a: &Path, b: &Path) -> io::Result<bool> {
    let identity = |path| fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()));
    Ok(identity(a)? == identity(b)?)
}

impl Objects {
    async fn put(
        &self,
        file: &Path,
        key: &object_store::path::Path,
    ) -> object_store::Result<Placed> {
        let local = |source: io::Error| object_store::Error::Generic {
            store: "file",
            source: Box::new(source),
        };
        let bytes = fs::metadata(file).map_err(local)?.len();
        if bytes <= OBJECT_BYTES_MAX {
            let payload = fs::read(file).map_err(local)?;
            let only_new = PutOptions::from(PutMode::Create);
            match self.store.put_opts(key, payload.into(), only_new).await {
                Ok(_) => {}
                Err(object_store::Error::AlreadyExists { .. }) => {
                    return self.compare(file, key).await.map_err(local);
                }
                Err(error) => return Err(error),
            }
        } else {
            // An upload in parts cannot demand a free key, so it asks first: one collector writes below a prefix.
            match self.store.head(key).await {
                Err(object_store::Error::NotFound { .. }) => {}
                Ok(_) => return self.compare(file, key).await.map_err(local),
                Err(error) => return Err(error),
            }
            let upload = self.store.put_multipart(key).await?;
            let mut parts = WriteMultipart::new_with_chunk_size(upload, OBJECT_BYTES_MAX as usize);
            let mut source = File::open(file).map_err(local)?;
            let mut block = vec![0; BLOCK_BYTES_MAX];
            loop {
                let read = match source.read(&mut block) {
                    Ok(0) => break,
                    Ok(read) => read,
                    Err(error) => {
                        parts.abort().await?;
                        return Err(local(error));
                    }
                };
                parts.wait_for_capacity(1).await?;
                parts.write(&block[..read]);
            }
            parts.finish().await?;
        }
        fs::remove_file(file).map_err(local)?;
        Ok(Placed::Here)
    }

    /// The key is taken: by these very bytes? Then an earlier process put them, and ended before it could note that.
    async fn compare(&self, file: &Path, key: &object_store::path::Path) -> io::Result<Placed> {
        let there = self.store.get(key).await?;
        let mut ours = File::open(file)?;
        if there.meta.size != ours.metadata()?.len() {
            return Ok(Placed::Taken);
        }
        let mut at = 0;
        let mut block = Vec::new();
        while at < there.meta.size {
            let end = there.meta.size.min(at + OBJECT_BYTES_MAX);
            let theirs = self.store.get_range(key, at..end).await?;
            block.resize(theirs.len(), 0);
            ours.read_exact(&mut block)?;
            if block != theirs {
                return Ok(Placed::Taken);
            }
            at = end;
        }
        fs::remove_file(file)?;
        Ok(Placed::Same)
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store, self.prefix)
    }
}

/// Makes a directory and its parents, and reads that it is one.
pub(crate) fn make_directory(path: &Path) -> Result<(), FleetError> {
    fs::create_dir_all(path).map_err(at(path, "make the directory"))
}
