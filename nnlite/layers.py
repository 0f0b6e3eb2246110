"""Layer: what every part of a network does. Linear: the part that has weights.

Shapes are written for the last two axes: N samples (rows) by D features (columns). The formulas
also hold with more axes in front, written `...`. That is how several networks train side by side.

`xp` is the module that an array belongs to: numpy, or cupy if the array is on a GPU. They have the
same functions, so `xp.exp(z)` computes wherever z is. `array_module` returns it (backend.py).
"""

from .backend import Array, WrittenInto, array_module, check_floats


class Layer:
    """One function of the network, y = f(x), and the chain rule through it.

    `forward` computes y, and keeps on `self` what `backward` will need, nothing else.
    `backward` takes dy = dL/dy, the gradient of the loss L with respect to the layer's output, and
    returns dx = dL/dx, with respect to its input. Neither changes the array it is given.
    """

    # (lowest, highest) output of an activation that saturates at both ends, None for all others.
    bounds: tuple[float, float] | None = None

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Linear(Layer):
    """A fully connected layer: z = x @ weight + bias.

    weight is (..., D_in, D_out) and bias (..., D_out). `backward` writes dL/dweight and dL/dbias
    into the arrays `dweight` and `dbias`, so their owner (see MLP) sees the new values at once.
    Assigning to one of the four writes into it, too.

    Raises ValueError if the shapes do not fit.
    """

    weight, bias, dweight, dbias = (WrittenInto() for _ in range(4))

    def __init__(
        self, weight: Array, bias: Array, dweight: Array | None = None, dbias: Array | None = None
    ):
        xp = array_module(weight)
        check_floats(weight)
        check_floats(bias)
        if weight.ndim < 2 or bias.shape != (*weight.shape[:-2], weight.shape[-1]):
            raise ValueError(
                f"weight has shape {weight.shape} and bias {bias.shape}: give (D_in, D_out) and "
                "(D_out,), with the same axes in front for a stack"
            )
        self.weight, self.bias = weight, bias
        self.dweight = xp.zeros_like(weight) if dweight is None else dweight
        self.dbias = xp.zeros_like(bias) if dbias is None else dbias
        # The gradient of the very first layer's input trains nothing and costs as much as the
        # gradient of its weights, so MLP switches it off there.
        self.input_gradient = True

    def forward(self, x: Array) -> Array:
        """z = x @ weight + bias: (..., N, D_in) -> (..., N, D_out)."""
        check_floats(x)
        if x.ndim < 2 or x.shape[-1] != self.weight.shape[-2]:
            raise ValueError(f"x has shape {x.shape}: give rows of {self.weight.shape[-2]} numbers")
        self.x = x
        z = x @ self.weight
        z += self.bias[..., None, :]  # the same bias for each of the N rows
        return z

    def backward(self, dz: Array) -> Array | None:
        """Overwrite dweight and dbias, and return dx: (..., N, D_out) -> (..., N, D_in).

        From z[n, j] = sum_i x[n, i] weight[i, j] + bias[j] the chain rule gives

            dL/dweight[i, j] = sum_n x[n, i] dz[n, j]       dweight = x.T @ dz
            dL/dbias[j]      = sum_n dz[n, j]               dbias   = sum of dz over the N rows
            dL/dx[n, i]      = sum_j dz[n, j] weight[i, j]  dx      = dz @ weight.T

        (Rumelhart, Hinton & Williams, 1986). `.mT` transposes the last two axes. Returns None if
        `input_gradient` is off.
        """
        xp = array_module(dz)
        xp.matmul(self.x.mT, dz, out=self.dweight)
        dz.sum(axis=-2, out=self.dbias)
        return dz @ self.weight.mT if self.input_gradient else None

    def __repr__(self) -> str:
        """Linear(784 -> 256): the widths of its input and its output."""
        D_in, D_out = self.weight.shape[-2:]
        return f"Linear({D_in} -> {D_out})"
