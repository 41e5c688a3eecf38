//! Why a scene could not be made or shown. Start-up errors: they say what to do.

use super::mesh::MeshError;

/// Why a scene could not be built.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    #[error("scene.{key}: {reason}")]
    Invalid { key: &'static str, reason: String },
    #[error(transparent)]
    Mesh(#[from] MeshError),
    #[error("MuJoCo refused the generated model: {0}")]
    Model(String),
    #[error("MuJoCo could not allocate the state of the model")]
    OutOfMemory,
}

/// Why no image could be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error(
        "no off-screen OpenGL context: {0}. The simulated camera needs EGL; on Debian: apt-get install libegl1 \
         libegl-mesa0 libgl1-mesa-dri"
    )]
    NoContext(String),
    #[error("rendering failed: {0}")]
    Render(String),
    #[error("the model has no camera named {0}")]
    NoCamera(&'static str),
    #[error("MuJoCo could not copy the model")]
    OutOfMemory,
}
