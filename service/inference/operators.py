# SPDX-License-Identifier: Apache-2.0
"""The operators of ai.onnx that a package may use.

Allowed is what computes numbers from numbers, the same each time, in a time that the sizes of the tensors bound. Not
allowed are control flow (If, Loop, Scan: run time without bound, graphs inside graphs), chance (Random*, Bernoulli,
Multinomial: other results each time), sequences, optionals and text (nothing here needs them), and training.
"""

from typing import Final

_ARITHMETIC: Final = """Abs Add BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Clip Cos Cosh Acos Acosh Asin
    Asinh Atan Atanh CumSum Det Div Einsum Erf Exp Floor Gemm IsInf IsNaN Log MatMul MatMulInteger Max Mean Min Mod Mul
    Neg Pow Reciprocal Round Sign Sin Sinh Sqrt Sub Sum Tan Tanh"""
_COMPARISON: Final = "And Equal Greater GreaterOrEqual Less LessOrEqual Not Or Where Xor"
_ACTIVATION: Final = """Celu Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu Relu Selu Shrink
    Sigmoid Softmax Softplus Softsign ThresholdedRelu"""
_LAYERS: Final = """AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace Dropout
    GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization GridSample GRU InstanceNormalization
    LayerNormalization LpNormalization LpPool LRN LSTM MaxPool MaxRoiPool MaxUnpool MeanVarianceNormalization
    NonMaxSuppression QLinearConv QLinearMatMul Resize RNN RoiAlign SpaceToDepth Upsample"""
_REDUCTION: Final = """ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare TopK"""
_SHAPE: Final = """AffineGrid Cast CastLike CenterCropPad Col2Im Compress Concat Constant ConstantOfShape
    DequantizeLinear DynamicQuantizeLinear Expand EyeLike Flatten Gather GatherElements GatherND Identity NonZero OneHot
    Pad QuantizeLinear Range Reshape ReverseSequence Scatter ScatterElements ScatterND Shape Size Slice Split Squeeze
    Tile Transpose Trilu Unique Unsqueeze"""
_SIGNAL: Final = "BlackmanWindow DFT HammingWindow HannWindow MelWeightMatrix STFT"

ALLOWED: Final = frozenset(
    " ".join((_ARITHMETIC, _COMPARISON, _ACTIVATION, _LAYERS, _REDUCTION, _SHAPE, _SIGNAL)).split()
)
CONTROL_FLOW: Final = frozenset(("If", "Loop", "Scan", "SequenceMap"))
