//! The manifest beside the ONNX files of a learned policy: what the graphs expect and promise, in a TOML file.
//!
//! Responsible for reading it and for checking that it agrees with itself and with this code. Not responsible for
//! running the graphs ([`crate::model`]).

use crate::cem::{CemConfig, SAMPLES_MIN};
use crate::error::{Place, PolicyOpenError};
use crate::features::STATE_LAYOUT;
use crate::task::Workspace;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::Spanned;
use visuomotor_runtime::action::ActionScale;
use visuomotor_runtime::exactly::exactly;

/// The only version of the format so far.
const FORMAT: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CriticKind {
    /// Q(image, state, motion) for each verb; the action is searched.
    #[serde(rename = "critic-q")]
    Q,
    /// Probability that closing at a pose ends in a grasp; the pose is searched and servoed to.
    #[serde(rename = "critic-grasp")]
    Grasp,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    format: Spanned<u32>,
    kind: CriticKind,
    name: String,
    rate_hz: Spanned<f64>,
    max_steps: Spanned<u32>,
    opset: Spanned<i64>,
    /// What the entries of the state vector are.
    state: Spanned<Vec<String>>,
    image: Spanned<ImageSpec>,
    camera: CameraMount,
    action_scale: Spanned<ActionScale>,
    workspace: Spanned<Workspace>,
    cem: Spanned<CemConfig>,
    trunk: GraphSpec,
    head: GraphSpec,
    self_test: Spanned<SelfTest>,
    lineage: toml::Table,
}

impl Raw {
    /// The first value that cannot be: its offset in the text, its field, and what is wrong.
    fn problem(&self) -> Option<(usize, &'static str, String)> {
        let format = self.format.get_ref();
        let rate_hz = self.rate_hz.get_ref();
        let image = self.image.get_ref();
        let scale = self.action_scale.get_ref();
        let workspace = self.workspace.get_ref();
        let cem = self.cem.get_ref().problem();
        let test = self.self_test.get_ref();
        let values = match self.kind {
            CriticKind::Q => 4,
            CriticKind::Grasp => 1,
        };
        let hex = |sha256: &Spanned<String>| {
            let digits = sha256.get_ref().as_bytes();
            digits.len() == 64
                && digits
                    .iter()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let not_hex = || "write 64 lower-case hexadecimal digits".to_string();
        let checks = [
            (
                *format == FORMAT,
                self.format.span(),
                "format",
                format!("this program reads manifests of format {FORMAT}, not {format}"),
            ),
            (
                rate_hz.is_finite() && *rate_hz > 0.0,
                self.rate_hz.span(),
                "rate_hz",
                format!("{rate_hz} is not a rate; write actions a second, above 0"),
            ),
            (
                *self.max_steps.get_ref() > 0,
                self.max_steps.span(),
                "max_steps",
                "an episode has at least one step".into(),
            ),
            (
                *self.state.get_ref() == STATE_LAYOUT,
                self.state.span(),
                "state",
                format!(
                    "this program gives {STATE_LAYOUT:?}; the policy was trained on another state"
                ),
            ),
            (
                image.encoding == "rgb8",
                self.image.span(),
                "image.encoding",
                format!("`{}` is unknown; only `rgb8` is", image.encoding),
            ),
            (
                image.normalisation == "in-graph",
                self.image.span(),
                "image.normalisation",
                format!("`{}` is unknown; only `in-graph` is", image.normalisation),
            ),
            (
                (1..=2048).contains(&image.width) && (1..=2048).contains(&image.height),
                self.image.span(),
                "image",
                "width and height are from 1 to 2048 pixels".into(),
            ),
            (
                [scale.xy_m, scale.z_m, scale.yaw_rad]
                    .iter()
                    .all(|s| s.is_finite() && *s > 0.0),
                self.action_scale.span(),
                "action_scale",
                "every scale is above 0".into(),
            ),
            (
                workspace.xy_max_m > 0.0
                    && workspace.z_min_m < workspace.z_max_m
                    && workspace.yaw_max_rad >= std::f64::consts::FRAC_PI_2,
                self.workspace.span(),
                "workspace",
                "needs xy_max_m > 0, z_min_m < z_max_m and yaw_max_rad >= pi/2".into(),
            ),
            (
                cem.is_none(),
                self.cem.span(),
                "cem",
                cem.unwrap_or_default(),
            ),
            (
                test.state.len() == STATE_LAYOUT.len()
                    && (1..=SAMPLES_MIN).contains(&test.candidates.len())
                    && test.expected.len() == test.candidates.len()
                    && test.expected.iter().all(|e| e.len() == values)
                    && test.tolerance > 0.0,
                self.self_test.span(),
                "self_test",
                format!(
                    "needs {} states, 1 to {SAMPLES_MIN} candidates, {values} expected value(s) for each, \
                     and a tolerance above 0",
                    STATE_LAYOUT.len()
                ),
            ),
            (
                hex(&self.trunk.sha256),
                self.trunk.sha256.span(),
                "trunk.sha256",
                not_hex(),
            ),
            (
                hex(&self.head.sha256),
                self.head.sha256.span(),
                "head.sha256",
                not_hex(),
            ),
        ];
        let first = checks.into_iter().find(|(holds, ..)| !holds);
        first.map(|(_, span, field, problem)| (span.start, field, problem))
    }
}

/// See the module. Fields are those of the file.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub path: PathBuf,
    /// sha256 of the manifest itself, lower-case hexadecimal: names graphs and settings at once.
    pub sha256: String,
    pub kind: CriticKind,
    pub name: String,
    /// Actions a second.
    pub rate_hz: f64,
    pub max_steps: u32,
    pub opset: i64,
    pub image: ImageSpec,
    /// The mount that the training images were taken from.
    pub camera: CameraMount,
    pub action_scale: ActionScale,
    pub workspace: Workspace,
    pub cem: CemConfig,
    pub trunk: GraphSpec,
    pub head: GraphSpec,
    pub self_test: SelfTest,
    /// Where the graphs come from: data seeds, episodes, code version, checkpoint hash, date; free.
    pub lineage: toml::Table,
    text: String,
    opset_span: usize,
    self_test_span: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// Only `rgb8`: 8 bit a channel, top row first.
    pub encoding: String,
    /// Only `in-graph`: the graph takes the raw bytes.
    pub normalisation: String,
}

/// A pinhole camera whose image is upright with respect to the task frame's z axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraMount {
    /// Optical centre, task frame, m.
    #[serde(deserialize_with = "exactly")]
    pub position_m: [f64; 3],
    /// A point on the optical axis, task frame, m.
    #[serde(deserialize_with = "exactly")]
    pub target_m: [f64; 3],
    /// Vertical field of view, degrees.
    pub fovy_deg: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// Relative to the manifest.
    pub file: Spanned<PathBuf>,
    /// Lower-case hexadecimal.
    pub sha256: Spanned<String>,
    pub inputs: Vec<Spanned<TensorSpec>>,
    pub outputs: Vec<Spanned<TensorSpec>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    pub name: String,
    /// `uint8` or `float32`.
    #[serde(rename = "type")]
    pub element: ElementType,
    /// -1 stands for the number of candidates.
    pub shape: Vec<i64>,
    /// For people: unit and normalisation, for example "m" or "action scale, [-1, 1]".
    pub unit: String,
    /// For people: the frame in which it is expressed, empty where none applies.
    #[serde(default)]
    pub frame: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    Uint8,
    Float32,
}

impl std::fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {} {:?}", self.name, self.element, self.shape)
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ElementType::Uint8 => "uint8",
            ElementType::Float32 => "float32",
        })
    }
}

/// Inputs with known outputs. The image is [`test_image`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    pub state: Vec<f32>,
    /// Motions (kind `critic-q`) or poses (`critic-grasp`).
    pub candidates: Vec<[f32; 4]>,
    /// For each candidate, one value a verb (`critic-q`) or one value (`critic-grasp`).
    pub expected: Vec<Vec<f32>>,
    /// Largest absolute difference.
    pub tolerance: f32,
}

/// The image of the self-test: byte (x, y, channel) = (7 x + 13 y + 85 channel + x y) mod 256, row-major RGB.
pub fn test_image(width: u32, height: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [0, 1, 2].map(|c| ((7 * x + 13 * y + 85 * c + x * y) % 256) as u8);
    (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| pixel(x, y)))
        .collect()
}

impl Manifest {
    /// Reads and checks the manifest at `path`; looks at none of the graphs.
    pub fn read(path: &Path) -> Result<Self, PolicyOpenError> {
        let text = std::fs::read_to_string(path).map_err(|source| PolicyOpenError::Read {
            path: path.to_path_buf(),
            advice: match source.kind() {
                ErrorKind::InvalidData => {
                    "this is no text; give the manifest (.toml) that names the graphs (.onnx)"
                }
                _ => "give the path of a policy's manifest (a .toml file)",
            }
            .to_owned(),
            source,
        })?;
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: String) -> Result<Self, PolicyOpenError> {
        let raw: Raw = toml::from_str(&text).map_err(|source| PolicyOpenError::Parse {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        if let Some((offset, field, problem)) = raw.problem() {
            let place = place(path, &text, offset, field);
            return Err(PolicyOpenError::Field { place, problem });
        }
        let manifest = Self {
            path: path.to_path_buf(),
            sha256: crate::model::sha256_hex(text.as_bytes()),
            kind: raw.kind,
            name: raw.name,
            rate_hz: raw.rate_hz.into_inner(),
            max_steps: raw.max_steps.into_inner(),
            opset_span: raw.opset.span().start,
            opset: raw.opset.into_inner(),
            image: raw.image.into_inner(),
            camera: raw.camera,
            action_scale: raw.action_scale.into_inner(),
            workspace: raw.workspace.into_inner(),
            cem: raw.cem.into_inner(),
            trunk: raw.trunk,
            head: raw.head,
            self_test_span: raw.self_test.span().start,
            self_test: raw.self_test.into_inner(),
            lineage: raw.lineage,
            text,
        };
        manifest.check_signature()?;
        Ok(manifest)
    }

    /// The tensors that this code writes and reads must be declared as it writes and reads them.
    fn check_signature(&self) -> Result<(), PolicyOpenError> {
        let (w, h) = (i64::from(self.image.width), i64::from(self.image.height));
        let state = (
            "state",
            ElementType::Float32,
            vec![1, STATE_LAYOUT.len() as i64],
        );
        let image = ("image", ElementType::Uint8, vec![1, h, w, 3]);
        let (candidates, values) = match self.kind {
            CriticKind::Q => (("motion", vec![1, -1, 4]), ("q", vec![1, -1, 4])),
            CriticKind::Grasp => (("pose", vec![1, -1, 4]), ("p", vec![1, -1])),
        };
        let float = |(name, shape)| (name, ElementType::Float32, shape);
        self.require("trunk.inputs", &self.trunk, &self.trunk.inputs, image)?;
        self.require("trunk.inputs", &self.trunk, &self.trunk.inputs, state)?;
        self.require(
            "head.inputs",
            &self.head,
            &self.head.inputs,
            float(candidates),
        )?;
        self.require(
            "head.outputs",
            &self.head,
            &self.head.outputs,
            float(values),
        )?;
        for output in &self.trunk.outputs {
            let spec = output.get_ref();
            if spec.element != ElementType::Float32 || spec.shape.iter().any(|&d| d < 1) {
                return Err(PolicyOpenError::Field {
                    place: self.place(output.span().start, "trunk.outputs"),
                    problem: format!("{spec}: features are float32 with a fixed shape"),
                });
            }
        }
        Ok(())
    }

    fn require(
        &self,
        field: &str,
        graph: &GraphSpec,
        tensors: &[Spanned<TensorSpec>],
        (name, element, shape): (&str, ElementType, Vec<i64>),
    ) -> Result<(), PolicyOpenError> {
        let found = tensors.iter().find(|t| t.get_ref().name == name);
        if found.is_some_and(|t| t.get_ref().element == element && t.get_ref().shape == shape) {
            return Ok(());
        }
        let wanted = TensorSpec {
            name: name.into(),
            element,
            shape,
            unit: String::new(),
            frame: String::new(),
        };
        let (offset, has) = match found {
            Some(tensor) => (tensor.span().start, format!("{}, but", tensor.get_ref())),
            None => (graph.file.span().start, "is incomplete:".into()),
        };
        Err(PolicyOpenError::Field {
            place: self.place(offset, field),
            problem: format!("{has} this program needs {wanted} for a policy of this kind"),
        })
    }

    /// Where the byte `offset` of the manifest is.
    pub(crate) fn place(&self, offset: usize, field: &str) -> Box<Place> {
        place(&self.path, &self.text, offset, field)
    }

    pub(crate) fn opset_place(&self) -> Box<Place> {
        self.place(self.opset_span, "opset")
    }

    pub(crate) fn self_test_place(&self) -> Box<Place> {
        self.place(self.self_test_span, "self_test")
    }

    /// The graph's file, resolved against the manifest's folder.
    pub fn graph_path(&self, graph: &GraphSpec) -> PathBuf {
        self.path
            .parent()
            .unwrap_or(Path::new(""))
            .join(graph.file.get_ref())
    }
}

fn place(path: &Path, text: &str, offset: usize, field: &str) -> Box<Place> {
    let line = 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
    let (path, field) = (path.to_path_buf(), field.to_string());
    Box::new(Place { path, line, field })
}
