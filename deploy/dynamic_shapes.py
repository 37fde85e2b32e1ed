"""Makes CenterFace take pictures of any size.

In: the model as published, whose graph declares pictures of 10 x 3 x 32 x 32. Out: the same weights and nodes, declared
1 x 3 x height x width (both multiples of 32), with outputs of a quarter of that. Gone are the initialisers among the
graph's inputs, so that ONNX Runtime may fold them, and those that no node uses, which it would warn about. Invariant: the same input bytes give the same output bytes.

Usage: dynamic_shapes.py IN.onnx OUT.onnx
"""

import sys

import onnx


def declare(value, height, width):
    """Batch of one, channels as they are, height and width by name."""
    batch, _channels, rows, columns = value.type.tensor_type.shape.dim
    batch.dim_value = 1
    rows.dim_param = height
    columns.dim_param = width


def main(source, target):
    model = onnx.load(source)
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    pictures = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(pictures)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for value in graph.input:
        declare(value, "height", "width")
    for value in graph.output:
        declare(value, "height_div_4", "width_div_4")
    onnx.checker.check_model(model)
    with open(target, "wb") as out:
        out.write(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
