"""onnxsim's structured pruning, for comparison: the share of channels that meets a budget of arithmetic.

python bench/peers/onnxsim_pruning.py MODEL.onnx --keep 0.5 --out pruned.onnx
Needs onnx, onnxsim (0.8 or later) and numpy. It removes channels by the L2 norm of their weights, ranked
over all layers, and trains nothing; where no share meets the budget, the nearest one is written.
"""

import argparse

import numpy as np
import onnx
import onnxsim
from onnx import shape_inference
from onnxsim import pruning


def macs_of(model):
    """Multiply-accumulates of convolutions and matrix products for one sample."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    shapes = {w.name: list(w.dims) for w in inferred.graph.initializer}
    for value in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]:
        shapes.setdefault(value.name, [d.dim_value for d in value.type.tensor_type.shape.dim])
    total = 0
    for node in inferred.graph.node:
        if node.op_type == "Conv":
            weight = shapes[node.input[1]]
            total += int(np.prod(weight)) * int(np.prod(shapes[node.output[0]][2:]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(shapes[node.input[1]]))
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    dense, _ = onnxsim.simplify(onnx.load(options.model))
    budget = macs_of(dense) * options.keep
    low, high = 0.0, 1.0
    best = pruning.apply_structured_pruning(dense, sparsity=0.98, global_sparsity=True)
    for _ in range(12):
        share = (low + high) / 2
        pruned = pruning.apply_structured_pruning(dense, sparsity=share, global_sparsity=True)
        if macs_of(pruned) <= budget:
            best, high = pruned, share
        else:
            low = share
    onnx.save(best, options.out)
    print(f"{macs_of(dense) / 1e6:.2f} M → {macs_of(best) / 1e6:.2f} M multiply-accumulates at a share of {high:.3f}")


main()
