//! A learned critic ready to run: trunk and head, checked against their manifest and tested, with tensors bound once.
//!
//! Responsible for every reason to refuse a policy's files at start-up, and for moving numbers in and out of the
//! graphs. Not responsible for choosing an action from what they say.

use crate::error::PolicyOpenError;
use crate::features::STATE_LEN;
use crate::manifest::{CriticKind, GraphSpec, Manifest, TensorSpec, test_image};
use crate::onnx_header;
use crate::session::Graph;
use ort::value::DynTensor;
use sha2::{Digest, Sha256};
use std::path::Path;
use visuomotor_runtime::camera::Image;
use visuomotor_runtime::policy::PolicyError;

/// Names of the tensors that this code fills and reads.
const IMAGE: &str = "image";
const STATE: &str = "state";

/// sha256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub struct Model {
    manifest: Manifest,
    trunk: Graph,
    head: Graph,
    image: DynTensor,
    state: DynTensor,
    /// Motions or poses, [1, K, 4].
    candidates: DynTensor,
    /// [1, K, values a candidate].
    values: DynTensor,
    /// Keeps the features alive that trunk and head share.
    _features: Vec<DynTensor>,
}

impl Model {
    /// Loads the graphs of `manifest` for batches of `candidates` and runs the self-test.
    pub fn open(manifest: Manifest, candidates: usize) -> Result<Self, PolicyOpenError> {
        let trunk = load(&manifest, &manifest.trunk, "trunk")?;
        let head = load(&manifest, &manifest.head, "head")?;
        let mut model = Self::bind(manifest, trunk, head, candidates)?;
        model.self_test()?;
        Ok(model)
    }

    fn bind(
        manifest: Manifest,
        trunk: Graph,
        head: Graph,
        count: usize,
    ) -> Result<Self, PolicyOpenError> {
        let (mut trunk, mut head) = (trunk, head);
        let trunk_path = manifest.graph_path(&manifest.trunk);
        let head_path = manifest.graph_path(&manifest.head);
        let in_trunk = |e: ort::Error| PolicyOpenError::Graph {
            path: trunk_path.clone(),
            problem: e.to_string(),
        };
        let in_head = |e: ort::Error| PolicyOpenError::Graph {
            path: head_path.clone(),
            problem: e.to_string(),
        };
        let (candidates_name, values_name) = match manifest.kind {
            CriticKind::Q => ("motion", "q"),
            CriticKind::Grasp => ("pose", "p"),
        };
        let tensor = |specs: &[toml::Spanned<TensorSpec>], name: &str| {
            let found = specs
                .iter()
                .map(|s| s.get_ref())
                .find(|spec| spec.name == name);
            found
                .map(|spec| Graph::tensor(spec, count))
                .unwrap_or_else(|| Err(ort::Error::new("tensor is missing")))
        };
        let image = tensor(&manifest.trunk.inputs, IMAGE).map_err(in_trunk)?;
        let state = tensor(&manifest.trunk.inputs, STATE).map_err(in_trunk)?;
        let candidates = tensor(&manifest.head.inputs, candidates_name).map_err(in_head)?;
        let mut values = tensor(&manifest.head.outputs, values_name).map_err(in_head)?;
        trunk.bind_input(IMAGE, &image).map_err(in_trunk)?;
        trunk.bind_input(STATE, &state).map_err(in_trunk)?;
        head.bind_input(candidates_name, &candidates)
            .map_err(in_head)?;
        head.bind_output(values_name, &mut values)
            .map_err(in_head)?;
        let mut features = Vec::new();
        for output in manifest.trunk.outputs.iter().map(|o| o.get_ref()) {
            let mut feature = Graph::tensor(output, count).map_err(in_trunk)?;
            trunk
                .bind_output(&output.name, &mut feature)
                .map_err(in_trunk)?;
            features.push((&output.name, feature));
        }
        for input in &manifest.head.inputs {
            let name = &input.get_ref().name;
            if name == candidates_name {
                continue;
            }
            let shared = match name.as_str() {
                STATE => Some(&state),
                _ => features
                    .iter()
                    .find(|(feature, _)| *feature == name)
                    .map(|(_, tensor)| tensor),
            };
            let Some(shared) = shared else {
                return Err(PolicyOpenError::Field {
                    place: manifest.place(input.span().start, "head.inputs"),
                    problem: format!(
                        "`{name}` is not an output of the trunk; export both again together"
                    ),
                });
            };
            head.bind_input(name, shared).map_err(in_head)?;
        }
        let _features = features.into_iter().map(|(_, tensor)| tensor).collect();
        Ok(Self {
            manifest,
            trunk,
            head,
            image,
            state,
            candidates,
            values,
            _features,
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Looks at one image and state; [`Model::score`] then judges candidates for them.
    pub fn observe(&mut self, image: &Image, state: &[f32; STATE_LEN]) -> Result<(), PolicyError> {
        let (width, height) = (self.manifest.image.width, self.manifest.image.height);
        let bytes = bytes_mut(&mut self.image)?;
        if (image.width, image.height) != (width, height) || image.rgb.len() != bytes.len() {
            return Err(PolicyError::WrongImage {
                got_width: image.width,
                got_height: image.height,
                expected_width: width,
                expected_height: height,
            });
        }
        bytes.copy_from_slice(&image.rgb);
        floats_mut(&mut self.state)?.copy_from_slice(state);
        self.trunk.run()
    }

    /// The head's values for `candidates`, as many as the model was opened for: `V` a candidate, 4 (one a verb) for
    /// kind `critic-q`, 1 for `critic-grasp`.
    pub fn score<const V: usize>(
        &mut self,
        candidates: &[[f32; 4]],
        values: &mut [[f32; V]],
    ) -> Result<(), PolicyError> {
        floats_mut(&mut self.candidates)?.copy_from_slice(candidates.as_flattened());
        self.head.run()?;
        values
            .as_flattened_mut()
            .copy_from_slice(floats_mut(&mut self.values)?);
        if values.as_flattened().iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(PolicyError::NotFinite)
        }
    }

    /// The graphs of one tick and nothing else: trunk once, head `iterations` times, on the last inputs.
    pub fn run_graphs(&mut self, iterations: usize) -> Result<(), PolicyError> {
        self.trunk.run()?;
        (0..iterations).try_for_each(|_| self.head.run())
    }

    fn self_test(&mut self) -> Result<(), PolicyOpenError> {
        let test = self.manifest.self_test.clone();
        let (width, height) = (self.manifest.image.width, self.manifest.image.height);
        let failed = |manifest: &Manifest, e: PolicyError| PolicyOpenError::Graph {
            path: manifest.path.clone(),
            problem: format!("the self-test does not run: {e}"),
        };
        let image = Image {
            width,
            height,
            rgb: test_image(width, height),
        };
        let mut state = [0.0; STATE_LEN];
        state.copy_from_slice(&test.state);
        self.observe(&image, &state)
            .map_err(|e| failed(&self.manifest, e))?;
        let found = match self.manifest.kind {
            CriticKind::Q => self.score_test::<4>(&test.candidates),
            CriticKind::Grasp => self.score_test::<1>(&test.candidates),
        }
        .map_err(|e| failed(&self.manifest, e))?;
        for (candidate, (expected, found)) in test.expected.iter().zip(&found).enumerate() {
            for (&expected, &found) in expected.iter().zip(found) {
                // Written so that NaN fails.
                let within = (found - expected).abs() <= test.tolerance;
                if !within {
                    return Err(PolicyOpenError::SelfTest {
                        place: self.manifest.self_test_place(),
                        candidate,
                        expected,
                        found,
                        tolerance: test.tolerance,
                    });
                }
            }
        }
        Ok(())
    }

    /// The values of a few candidates, repeated until the batch is full.
    fn score_test<const V: usize>(
        &mut self,
        test: &[[f32; 4]],
    ) -> Result<Vec<Vec<f32>>, PolicyError> {
        let count = floats_mut(&mut self.candidates)?.len() / 4;
        let batch: Vec<[f32; 4]> = test.iter().copied().cycle().take(count).collect();
        let mut values = vec![[0.0; V]; count];
        self.score(&batch, &mut values)?;
        Ok(values.iter().take(test.len()).map(|v| v.to_vec()).collect())
    }
}

/// Reads, checks and loads one graph.
fn load(manifest: &Manifest, spec: &GraphSpec, name: &str) -> Result<Graph, PolicyOpenError> {
    let path = manifest.graph_path(spec);
    let bytes = std::fs::read(&path).map_err(|source| PolicyOpenError::Read {
        path: path.clone(),
        source,
        advice: format!(
            "{} names it; restore it beside that or export the policy again",
            manifest.path.display()
        ),
    })?;
    let damaged = |problem| PolicyOpenError::Damaged {
        path: path.clone(),
        problem,
    };
    let opset = onnx_header::opset(&bytes).map_err(damaged)?;
    let sha256 = sha256_hex(&bytes);
    if sha256 != *spec.sha256.get_ref() {
        return Err(PolicyOpenError::Hash {
            place: manifest.place(spec.sha256.span().start, &format!("{name}.sha256")),
            file: path,
            expected: spec.sha256.get_ref().clone(),
            found: sha256,
        });
    }
    if opset != manifest.opset {
        let place = manifest.opset_place();
        return Err(PolicyOpenError::Opset {
            place,
            file: path,
            expected: manifest.opset,
            found: opset,
        });
    }
    let graph = Graph::load(&bytes)?.map_err(|problem| PolicyOpenError::Graph {
        path: path.clone(),
        problem,
    })?;
    check_tensors(manifest, spec, name, &path, &graph)?;
    Ok(graph)
}

fn check_tensors(
    manifest: &Manifest,
    spec: &GraphSpec,
    name: &str,
    path: &Path,
    graph: &Graph,
) -> Result<(), PolicyOpenError> {
    for (declared, side) in [(&spec.inputs, "inputs"), (&spec.outputs, "outputs")] {
        let specs: Vec<&TensorSpec> = declared.iter().map(|t| t.get_ref()).collect();
        let difference = match side {
            "inputs" => graph.input_difference(&specs),
            _ => graph.output_difference(&specs),
        };
        if let Some(difference) = difference {
            let span = difference
                .declared
                .map_or(spec.file.span(), |i| declared[i].span());
            return Err(PolicyOpenError::Tensor {
                place: manifest.place(span.start, &format!("{name}.{side}")),
                file: path.to_path_buf(),
                expected: difference.expected,
                found: difference.found,
            });
        }
    }
    Ok(())
}

fn bytes_mut(tensor: &mut DynTensor) -> Result<&mut [u8], PolicyError> {
    tensor
        .try_extract_tensor_mut::<u8>()
        .map(|(_, data)| data)
        .map_err(|_| PolicyError::Inference)
}

fn floats_mut(tensor: &mut DynTensor) -> Result<&mut [f32], PolicyError> {
    tensor
        .try_extract_tensor_mut::<f32>()
        .map(|(_, data)| data)
        .map_err(|_| PolicyError::Inference)
}
