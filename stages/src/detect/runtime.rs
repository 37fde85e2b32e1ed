//! ONNX Runtime: the library, a model's session, one inference.
//!
//! In: files, then images. Out: the network's raw outputs. Invariant: one thread per session, the caller's: no pool, no
//! spinning; the input tensor is reused from frame to frame.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use facestream_schemas::{DetectorIdentity, Size};
use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef};
use sha2::{Digest, Sha256};

use super::{DetectError, ModelError, Settings};
use crate::decode::Image;
use crate::preprocess::{Letterbox, Levels, Planes, Scale};

/// No face detector comes near it, and whatever is read is held in memory.
const LARGEST_MODEL: u64 = 1 << 30;

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// Loads ONNX Runtime's shared library, version 1.24 or newer, once per process; later calls do nothing.
///
/// Loading runs the library's own initialisers: `library` must be trusted.
pub fn init_runtime(library: &Path) -> Result<(), ModelError> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if ENVIRONMENT.get().is_some() {
        return Ok(());
    }
    let failed = |cause: String| ModelError::Library { library: library.to_owned(), cause };
    // An absolute path: the loader would look for a bare name in the system's folders.
    let absolute = library.canonicalize().map_err(|cause| failed(cause.to_string()))?;
    let builder = ort::init_from(&absolute).map_err(|cause| failed(cause.to_string()))?;
    let environment = builder.with_name("facestream").with_telemetry(false).build().map_err(|cause| failed(cause.to_string()))?;
    ENVIRONMENT.get_or_init(|| environment);
    Ok(())
}

/// A loaded model of a family not yet known.
pub(super) struct Opened {
    session: Session,
    model: PathBuf,
    sha256: String,
}

impl Opened {
    /// To be run with these settings.
    pub(super) fn open(model: &Path, settings: &Settings) -> Result<Self, ModelError> {
        settings.check()?;
        Self::read(model, Some(settings.input))
    }

    /// Only to be looked at: open sizes stay open.
    pub(super) fn look(model: &Path) -> Result<Self, ModelError> {
        Self::read(model, None)
    }

    /// Reads the file once, so that the hash is that of the weights in use.
    fn read(model: &Path, input: Option<Size>) -> Result<Self, ModelError> {
        let environment = ENVIRONMENT.get().ok_or(ModelError::NoRuntime)?;
        let failed = |cause| ModelError::Read { model: model.to_owned(), cause };
        let size = std::fs::metadata(model).map_err(failed)?.len();
        if size == 0 || size > LARGEST_MODEL {
            return Err(ModelError::Length { model: model.to_owned(), bytes: size, most: LARGEST_MODEL });
        }
        let bytes = std::fs::read(model).map_err(failed)?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        let session = session_builder(environment, input)
            .and_then(|mut builder| builder.commit_from_memory(&bytes))
            .map_err(|cause| ModelError::Load { model: model.to_owned(), cause })?;
        Ok(Self { session, model: model.to_owned(), sha256 })
    }

    /// The declared shape of an output: -1 where it is open. `None` where there is no such output of f32.
    pub(super) fn output_shape(&self, index: usize) -> Option<&[i64]> {
        floats(self.session.outputs().get(index)?)
    }

    /// Whether there is such an output of f32, whose last dimension is, or may be, `len`.
    pub(super) fn output_ends_in(&self, index: usize, len: usize) -> bool {
        let last = self.output_shape(index).and_then(|shape| shape.last());
        last.is_some_and(|last| *last == len as i64 || *last == -1)
    }

    /// The one size of pictures that it takes, where that is fixed.
    pub(super) fn fixed_input(&self) -> Option<Size> {
        let shape = self.session.inputs().first().and_then(floats).filter(|shape| shape.len() == 4)?;
        let side = |length: i64| u32::try_from(length).ok();
        Some(Size { w: side(shape[3])?, h: side(shape[2])? })
    }

    /// Names of the outputs, in the graph's order.
    pub(super) fn output_names(&self) -> impl Iterator<Item = &str> {
        self.session.outputs().iter().map(ort::value::Outlet::name)
    }

    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The error for a model of another family than expected.
    pub(super) fn not_a(&self, expected: &'static str) -> ModelError {
        ModelError::Family {
            model: self.model.clone(),
            expected,
            inputs: self.session.inputs().iter().map(declared).collect(),
            outputs: self.session.outputs().iter().map(declared).collect(),
        }
    }

    /// Ready to run, with the identity that its rows will carry.
    pub(super) fn into_network(
        self,
        detector_id: &str,
        (planes, levels): (Planes, Levels),
        settings: &Settings,
    ) -> Result<(Network, DetectorIdentity), ModelError> {
        self.check_input(settings.input)?;
        let identity = DetectorIdentity {
            detector_id: detector_id.to_owned(),
            model_sha256: Some(self.sha256),
            score_threshold: settings.score_threshold,
            nms_iou: settings.nms_iou,
        };
        Ok((Network { session: self.session, letterbox: Letterbox::new(settings.input, planes, levels) }, identity))
    }

    /// Whether it has one input, for one picture of f32 of whatever size.
    pub(super) fn check_inputs(&self) -> Result<&[i64], ModelError> {
        let [only] = self.session.inputs() else { return Err(self.not_a("network with one image input")) };
        let takes_one = |shape: &&[i64]| shape.len() == 4 && matches!(shape[0], 1 | -1) && matches!(shape[1], 3 | -1);
        floats(only).filter(takes_one).ok_or_else(|| self.not_a("network that takes 1 x 3 x height x width of f32"))
    }

    fn check_input(&self, input: Size) -> Result<(), ModelError> {
        let declared = self.check_inputs()?;
        let wanted = [1, 3, i64::from(input.h), i64::from(input.w)];
        if declared.iter().zip(wanted).all(|(declared, wanted)| *declared == wanted || *declared == -1) {
            return Ok(());
        }
        Err(ModelError::Settings(format!(
            "the model {} takes images of {}x{} only, detector.input is {}x{}: set it to the model's, or use a model with open shapes",
            self.model.display(),
            declared[3],
            declared[2],
            input.w,
            input.h
        )))
    }
}

/// The shape of a tensor of f32: -1 where it is open.
fn floats(outlet: &Outlet) -> Option<&[i64]> {
    outlet
        .dtype()
        .tensor_shape()
        .filter(|_| outlet.dtype().tensor_type() == Some(TensorElementType::Float32))
        .map(|shape| &**shape)
}

/// An input or output, for people: `input: f32 1x3x?x?`.
fn declared(outlet: &Outlet) -> String {
    let dtype = outlet.dtype();
    let mut text = format!("{}: ", outlet.name());
    let (Some(ty), Some(shape)) = (dtype.tensor_type(), dtype.tensor_shape()) else { return text + "no tensor" };
    let _ = write!(text, "{ty} ");
    let sides = shape.iter().map(|side| if *side < 0 { "?".to_owned() } else { side.to_string() });
    text + &sides.collect::<Vec<_>>().join("x")
}

fn session_builder(environment: &Environment, input: Option<Size>) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_parallel_execution(false)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?;
    let Some(input) = input else { return Ok(builder) };
    // With the open dimensions pinned, shapes are computed at load time, and memory is planned ahead.
    let builder = builder
        .with_dimension_override("batch", 1)?
        .with_dimension_override("height", i64::from(input.h))?
        .with_dimension_override("width", i64::from(input.w))?;
    Ok(builder)
}

/// A session with its input tensor.
pub(super) struct Network {
    session: Session,
    letterbox: Letterbox,
}

impl Network {
    pub(super) fn input(&self) -> Size {
        self.letterbox.input()
    }

    /// Fits the image into the input tensor.
    pub(super) fn prepare(&mut self, image: &Image<'_>) -> Scale {
        self.letterbox.fill(image)
    }

    /// Runs the network on the input tensor.
    pub(super) fn infer(&mut self) -> Result<SessionOutputs<'_>, DetectError> {
        let Size { w, h } = self.letterbox.input();
        let tensor = TensorRef::from_array_view(([1, 3, h as usize, w as usize], self.letterbox.tensor()))?;
        Ok(self.session.run(ort::inputs![tensor])?)
    }
}

/// One output's values, which must be `len` many.
pub(super) fn values<'a>(outputs: &'a SessionOutputs<'_>, index: usize, len: usize) -> Result<&'a [f32], DetectError> {
    let (_, values) = outputs[index].try_extract_tensor::<f32>()?;
    if values.len() != len {
        return Err(DetectError::Output(format!("output {index} has {} values, expected {len}", values.len())));
    }
    Ok(values)
}
