//! ONNX Runtime: the library, the one environment of a process, and graphs with tensors that are bound once.
//!
//! Responsible for running a graph on one thread that never spins. Not responsible for what a graph means
//! ([`crate::model`]). Runs allocate inside ONNX Runtime, so never on the control thread.

use crate::manifest::{ElementType, TensorSpec};
use ort::environment::Environment;
use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, Outlet, Tensor, TensorElementType};
use std::path::PathBuf;
use std::sync::OnceLock;
use visuomotor_runtime::policy::PolicyError;

/// Names the library's file, before any other place is searched.
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";
const FILE: &str = "libonnxruntime.so";
/// Folders relative to the executable's: an installed program, then the build tree.
const FOLDERS: [&str; 4] = ["", "../lib", "../native/lib", "../../native/lib"];

#[derive(Clone, Debug, thiserror::Error)]
pub enum LibraryError {
    #[error(
        "ONNX Runtime ({FILE}) is at none of: {}; `cargo xtask setup` fetches it, or let {PATH_VARIABLE} name the file",
        tried.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing { tried: Vec<PathBuf> },
    #[error(
        "ONNX Runtime does not load: {problem}; `cargo xtask setup` fetches the version that fits"
    )]
    Broken { problem: String },
}

/// The process's environment, made on first use.
fn environment() -> Result<Environment, LibraryError> {
    static ENVIRONMENT: OnceLock<Result<Environment, LibraryError>> = OnceLock::new();
    ENVIRONMENT.get_or_init(load).clone()
}

fn load() -> Result<Environment, LibraryError> {
    let path = find_library()?;
    let broken = |problem: String| LibraryError::Broken { problem };
    ort::init_from(&path)
        .map_err(|e| broken(e.to_string()))?
        .with_telemetry(false)
        .build()
        .map_err(|e| broken(e.to_string()))
}

fn find_library() -> Result<PathBuf, LibraryError> {
    let mut tried: Vec<PathBuf> = std::env::var_os(PATH_VARIABLE)
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Some(folder) = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|f| f.to_path_buf()))
    {
        tried.extend(
            FOLDERS
                .iter()
                .map(|relative| folder.join(relative).join(FILE)),
        );
    }
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(LibraryError::Missing { tried }),
    }
}

/// A loaded graph and the tensors that it reads and writes. Cloned tensors of another graph may be bound as inputs:
/// they share memory.
pub struct Graph {
    session: Session,
    binding: IoBinding,
}

impl Graph {
    /// Loads the graph from the bytes of its file.
    pub fn load(bytes: &[u8]) -> Result<Result<Self, String>, LibraryError> {
        let environment = environment()?;
        Ok(Self::build(&environment, bytes).map_err(|e| e.to_string()))
    }

    fn build(environment: &Environment, bytes: &[u8]) -> Result<Self, ort::Error> {
        let builder = Session::builder(environment)?;
        let builder = builder.with_intra_threads(1)?.with_inter_threads(1)?;
        let builder = builder.with_parallel_execution(false)?;
        let builder = builder
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        let mut builder = builder.with_optimization_level(GraphOptimizationLevel::All)?;
        let session = builder.commit_from_memory(bytes)?;
        let binding = session.create_binding()?;
        Ok(Self { session, binding })
    }

    /// How the graph's own inputs differ from the declared ones; `None` when they do not.
    pub fn input_difference(&self, declared: &[&TensorSpec]) -> Option<Difference> {
        difference(self.session.inputs(), declared)
    }

    pub fn output_difference(&self, declared: &[&TensorSpec]) -> Option<Difference> {
        difference(self.session.outputs(), declared)
    }

    /// A zeroed tensor of the declared shape, with `candidates` in place of -1.
    pub fn tensor(spec: &TensorSpec, candidates: usize) -> Result<DynTensor, ort::Error> {
        let shape: Vec<i64> = spec
            .shape
            .iter()
            .map(|&d| if d < 0 { candidates as i64 } else { d })
            .collect();
        let allocator = Allocator::default();
        Ok(match spec.element {
            ElementType::Uint8 => Tensor::<u8>::new(&allocator, shape)?.upcast(),
            ElementType::Float32 => Tensor::<f32>::new(&allocator, shape)?.upcast(),
        })
    }

    /// Reads `tensor` in every run from now on, with the contents that it then has.
    pub fn bind_input(&mut self, name: &str, tensor: &DynTensor) -> Result<(), ort::Error> {
        self.binding.bind_input(name, tensor)
    }

    /// Writes `tensor` in every run from now on.
    pub fn bind_output(&mut self, name: &str, tensor: &mut DynTensor) -> Result<(), ort::Error> {
        self.binding.bind_output(name, tensor)
    }

    /// One pass over the graph. Every input and output is bound.
    pub fn run(&mut self) -> Result<(), PolicyError> {
        self.session
            .run_binding(&self.binding)
            .map(|_| ())
            .map_err(|_| PolicyError::Inference)
    }
}

/// One tensor that is not as declared.
pub struct Difference {
    /// Index into the declared tensors; `None` for a tensor that is not declared.
    pub declared: Option<usize>,
    pub expected: String,
    pub found: String,
}

fn difference(tensors: &[Outlet], declared: &[&TensorSpec]) -> Option<Difference> {
    for (index, spec) in declared.iter().enumerate() {
        let tensor = tensors.iter().find(|t| t.name() == spec.name);
        if tensor.is_some_and(|t| element(t) == Some(spec.element) && shape(t) == spec.shape) {
            continue;
        }
        return Some(Difference {
            declared: Some(index),
            expected: spec.to_string(),
            found: tensor.map_or_else(|| format!("no `{}`", spec.name), describe),
        });
    }
    let extra = tensors
        .iter()
        .find(|t| declared.iter().all(|spec| spec.name != t.name()))?;
    Some(Difference {
        declared: None,
        expected: "no such tensor".into(),
        found: describe(extra),
    })
}

fn element(tensor: &Outlet) -> Option<ElementType> {
    match tensor.dtype().tensor_type()? {
        TensorElementType::Uint8 => Some(ElementType::Uint8),
        TensorElementType::Float32 => Some(ElementType::Float32),
        _ => None,
    }
}

fn shape(tensor: &Outlet) -> &[i64] {
    tensor.dtype().tensor_shape().map_or(&[], |shape| shape)
}

fn describe(tensor: &Outlet) -> String {
    match element(tensor) {
        Some(element) => format!("`{}` {element} {:?}", tensor.name(), shape(tensor)),
        None => format!("`{}` {}", tensor.name(), tensor.dtype()),
    }
}
