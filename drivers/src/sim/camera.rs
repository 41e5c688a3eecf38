//! The simulated camera: renders snapshots off-screen.
//!
//! An OpenGL context belongs to one thread, so a [`CameraSeat`] travels to its thread and is opened there.
//! Not responsible for when a picture is taken, nor for shadows, which it leaves out.

use super::error::RenderError;
use super::mjcf::{POLICY_CAMERA, SPECTATOR_CAMERA};
use super::noise::speckle;
use super::rig::Watch;
use super::scene::Scene;
use mujoco_rs::prelude::*;
use mujoco_rs::renderer::{MjRenderer, MjRendererBuilder};
use visuomotor_runtime::camera::{Camera, CameraError, Frame};
use visuomotor_runtime::clock::Instant;

const PIXEL_NOISE: u64 = 2;
/// Slices, stacks and quads of round and flat shapes in the policy's small image; more cost time and change no pixel
/// that matters.
const POLICY_MESH: [i32; 3] = [16, 8, 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What the policy sees: place, size and noise as the scene says.
    Policy,
    /// Arm and tray for people, square, without noise.
    Spectator { size_px: u32 },
    /// The policy's camera for people, square, without noise.
    PolicyEnlarged { size_px: u32 },
}

/// A camera that has not been opened yet.
pub struct CameraSeat {
    watch: Watch,
    view: View,
}

impl CameraSeat {
    pub(super) fn new(watch: Watch, view: View) -> Self {
        Self { watch, view }
    }

    /// Makes the OpenGL context of the calling thread and the camera that needs it.
    pub fn open(mut self) -> Result<SimCamera, RenderError> {
        let (_, scene) = self
            .watch
            .newest()
            .ok_or(RenderError::NoCamera(POLICY_CAMERA))?;
        let studio = Studio::new(scene, self.view)?;
        let size = self.view.size(scene);
        Ok(SimCamera {
            watch: self.watch,
            view: self.view,
            size,
            studio,
            frames: 0,
        })
    }
}

impl View {
    fn size(self, scene: &Scene) -> (u32, u32) {
        match self {
            View::Policy => {
                let [width, height] = scene.config().camera.size_px;
                (width, height)
            }
            View::Spectator { size_px } | View::PolicyEnlarged { size_px } => (size_px, size_px),
        }
    }

    fn camera_name(self) -> &'static str {
        match self {
            View::Policy | View::PolicyEnlarged { .. } => POLICY_CAMERA,
            View::Spectator { .. } => SPECTATOR_CAMERA,
        }
    }
}

/// The scene as the renderer holds it.
struct Studio {
    scene: u64,
    data: MjData<Box<MjModel>>,
    renderer: MjRenderer,
}

impl Studio {
    fn new(scene: &Scene, view: View) -> Result<Self, RenderError> {
        let data = model_for(scene, view)?;
        let name = view.camera_name();
        let camera = data
            .model()
            .name_to_id(MjtObjBase::mjOBJ_CAMERA, name)
            .ok_or(RenderError::NoCamera(name))?;
        let renderer = MjRendererBuilder::new()
            .num_visual_internal_geom(16)
            .camera(MjvCamera::new_fixed(camera))
            .build(data.model())
            .map_err(|error| RenderError::NoContext(error.to_string()))?;
        Ok(Self {
            scene: scene.id,
            data,
            renderer,
        })
    }

    /// The OpenGL context stays; what depends on the model is made anew.
    fn enter(&mut self, scene: &Scene, view: View) -> Result<(), RenderError> {
        self.data = model_for(scene, view)?;
        self.scene = scene.id;
        Ok(())
    }
}

/// A copy of the model whose off-screen buffer has the view's size.
fn model_for(scene: &Scene, view: View) -> Result<MjData<Box<MjModel>>, RenderError> {
    let mut model = Box::new(MjModel::clone(&scene.model));
    let (width, height) = view.size(scene);
    let visual = model.vis_mut();
    (visual.global.offwidth, visual.global.offheight) = (width as i32, height as i32);
    if view == View::Policy {
        let quality = &mut visual.quality;
        [quality.numslices, quality.numstacks, quality.numquads] = POLICY_MESH;
    }
    MjData::try_new(model).map_err(|_| RenderError::OutOfMemory)
}

pub struct SimCamera {
    watch: Watch,
    view: View,
    size: (u32, u32),
    studio: Studio,
    frames: u64,
}

impl SimCamera {
    /// As [`Camera::capture`], with the reason of a failure.
    pub fn render(&mut self, frame: &mut Frame) -> Result<(), RenderError> {
        let Some((snapshot, scene)) = self.watch.newest() else {
            return Err(RenderError::Render("no scene".into()));
        };
        if self.studio.scene != scene.id {
            self.studio.enter(scene, self.view)?;
        }
        let Studio { data, renderer, .. } = &mut self.studio;
        data.qpos_mut().copy_from_slice(snapshot.qpos());
        data.kinematics();
        data.com_pos();
        data.camlight();
        renderer
            .sync_data(data)
            .map_err(|error| RenderError::Render(error.to_string()))?;
        renderer
            .render()
            .map_err(|error| RenderError::Render(error.to_string()))?;
        let pixels = renderer.rgb_flat().unwrap_or_default();
        frame.image.rgb.clear();
        frame.image.rgb.extend_from_slice(pixels);
        (frame.image.width, frame.image.height) = self.size;
        frame.captured_at = snapshot.captured_at;
        frame.sequence = self.frames;
        self.frames += 1;
        let levels = scene.config().camera.pixel_noise;
        if self.view == View::Policy && levels > 0.0 {
            // The noise depends on the scene and on the time since its start alone, so that repeats agree.
            let mut rng = scene.rng(PIXEL_NOISE ^ snapshot.step << 8);
            speckle(&mut frame.image.rgb, levels, &mut rng);
        }
        Ok(())
    }
}

impl Camera for SimCamera {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn capture(&mut self, _now: Instant, frame: &mut Frame) -> Result<(), CameraError> {
        self.render(frame).map_err(|error| {
            tracing::error!("{error}");
            CameraError::NoFrame
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{SceneConfig, Split};

    #[test]
    fn only_the_policys_small_picture_is_coarse() {
        let scene = Scene::build(&SceneConfig::default(), Split::Train, 1).unwrap();
        let size_px = 64;
        let cases = [
            (View::Policy, true),
            (View::Spectator { size_px }, false),
            (View::PolicyEnlarged { size_px }, false),
        ];
        for (view, coarse) in cases {
            let data = model_for(&scene, view).unwrap();
            let quality = &data.model_vis().quality;
            let mesh = [quality.numslices, quality.numstacks, quality.numquads];
            assert_eq!(mesh == POLICY_MESH, coarse, "{view:?}: {mesh:?}");
            let finer = mesh
                .iter()
                .zip(POLICY_MESH)
                .all(|(&fine, rough)| fine > rough);
            assert!(coarse || finer, "{view:?}: {mesh:?}");
        }
    }
}
