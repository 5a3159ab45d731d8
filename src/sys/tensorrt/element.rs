//! What goes into a plan and comes out.

use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// 8-bit integer.
    I8,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// One of TensorRT's other types, by its number in `nvinfer1::DataType`.
    Other(i32),
}

impl Element {
    pub(super) fn from_number(number: i32) -> Self {
        match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::I8,
            3 => Self::I32,
            8 => Self::I64,
            other => Self::Other(other),
        }
    }

    /// Bytes of one element, of the types that networks here use at their ends.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::I8 => Some(1),
            Self::F16 => Some(2),
            Self::F32 | Self::I32 => Some(4),
            Self::I64 => Some(8),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("f32"),
            Self::F16 => f.write_str("f16"),
            Self::I8 => f.write_str("i8"),
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::Other(number) => write!(f, "TensorRT's type {number}"),
        }
    }
}

/// An input or output of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The name that the ONNX file gave it.
    pub name: String,
    /// Whether it goes in.
    pub is_input: bool,
    /// The type of its elements.
    pub element: Element,
    /// Elements along each axis, the innermost last; -1 where it is chosen when the plan runs.
    pub shape: Vec<i64>,
}

impl Tensor {
    /// Bytes of a tensor with all axes fixed.
    pub fn bytes(&self) -> Option<usize> {
        let sizes = self.shape.iter().map(|size| usize::try_from(*size).ok());
        let elements = sizes.into_iter().try_fold(1_usize, |product, size| product.checked_mul(size?))?;
        elements.checked_mul(self.element.bytes()?)
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.name, self.shape, self.element)
    }
}
