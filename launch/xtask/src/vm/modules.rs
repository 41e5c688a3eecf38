//! Kernel modules with what they depend on, in the order in which they have to be loaded.

use super::at;
use crate::Failure;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// All modules of one kernel, by name (with `_` where a file has `-`).
#[derive(Debug)]
pub struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    /// Those below a folder.
    pub fn below(folder: &Path) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(|e| at(&folder, e))? {
                let entry = entry.map_err(|e| at(&folder, e))?;
                let path = entry.path();
                if entry.file_type().map_err(|e| at(&path, e))?.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "ko") {
                    found.insert(name_of(&path), path);
                }
            }
        }
        Ok(Self(found))
    }

    /// Appends the module, after what it depends on, unless it is already there.
    pub fn append(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<(), Failure> {
        let name = name.replace('-', "_");
        let Some(path) = self.0.get(&name) else {
            return Err(Failure::Unready(format!(
                "this kernel has no module {name}"
            )));
        };
        if order.contains(path) {
            return Ok(());
        }
        let bytes = fs::read(path).map_err(|e| at(path, e))?;
        for other in dependencies(&bytes) {
            self.append(other, order)?;
        }
        order.push(path.clone());
        Ok(())
    }
}

pub fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.replace('-', "_")
}

/// A module says `depends=a,b` among the zero-terminated texts of its section `.modinfo`.
fn dependencies(module: &[u8]) -> Vec<&str> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|bytes| bytes == KEY) else {
        return Vec::new();
    };
    let value = &module[start + KEY.len()..];
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(0);
    let names = std::str::from_utf8(&value[..end]).unwrap_or("");
    names.split(',').filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_depends_on_is_loaded_before_it_and_once() {
        let folder = std::env::temp_dir().join(format!("xtask-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("net")).unwrap();
        let write = |name: &str, depends: &str| {
            let text = format!("ELF\0license=GPL\0depends={depends}\0name=x\0");
            fs::write(folder.join("net").join(name), text).unwrap();
        };
        write("can-raw.ko", "can");
        write("vcan.ko", "can_dev,can");
        write("can-dev.ko", "");
        write("can.ko", "");
        let modules = Modules::below(&folder).unwrap();
        let mut order = Vec::new();
        modules.append("can-raw", &mut order).unwrap();
        modules.append("vcan", &mut order).unwrap();
        let names: Vec<_> = order.iter().map(|path| name_of(path)).collect();
        assert_eq!(names, ["can", "can_raw", "can_dev", "vcan"]);
        assert!(matches!(
            modules.append("vivid", &mut order),
            Err(Failure::Unready(_))
        ));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_module_without_dependencies() {
        assert!(dependencies(b"\0depends=\0name=a\0").is_empty());
        assert!(dependencies(b"no such text").is_empty());
    }
}
