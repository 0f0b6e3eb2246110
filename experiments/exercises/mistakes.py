"""What people get wrong in backpropagation: one table, which also reads as a text.

It serves three times: check.py names the mistake in a student's answer, `bug` plants one into a
copy of the lab for the hunt, and tests/test_mistakes.py plants each, and the tests must find it.

A mistake is a change to the text of one function. Level 1: a `backward` is wrong, and the gradient
check says so. Level 2: the gradient check fails too, but because of a `forward`, or of the network.
Level 3: the gradient check says that all is well; curves, rates, accuracies or pictures do not.
"""

import ast
import re
import textwrap
from typing import NamedTuple

from blanks import places

# Below module and function, for each mistake: "level name: hint", and then "old -> new".
TABLE = r"""
activations sigmoid
2 the sign of the exponent: Put in a large z. Where should the sigmoid be then, and where is yours?
  .exp(-z) -> .exp(z)

activations Sigmoid.backward
1 a for f': At z = 5 the sigmoid is almost flat. Is your derivative almost 0 there?
  self.a * sigmoid(-self.z) -> self.a
1 a squared: f' is greatest at z = 0 and falls on both sides. Yours keeps rising.
  sigmoid(-self.z) -> sigmoid(self.z)
1 f' taken at a: f' is wanted at z. You took the sigmoid of what is a sigmoid already.
  self.a * sigmoid(-self.z) -> sigmoid(self.a) * sigmoid(-self.a)
1 no chain rule: That is f' alone. What comes from the layers above must pass through it.
  da * (self.a * sigmoid(-self.z)) -> self.a * sigmoid(-self.z)

activations Tanh.forward
2 the sigmoid, stretched to -1 and 1: The ends are right. The slope at 0 should be 1; yours is 1/2.
  array_module(z).tanh(z) -> 2 * sigmoid(z) - 1
2 the input overwritten: The array that you were given belongs to someone else, who still needs it.
  tanh(z) -> tanh(z, out=z)

activations Tanh.backward
1 1 - a, without the square: f' must be the same at z and at -z. Yours is not.
  da * (4 * e / (1 + e) ** 2) -> da * (1 - xp.tanh(self.z))
1 the sigmoid's derivative: That is another activation's. At z = 0 the slope of tanh is 1.
  da * (4 * e / (1 + e) ** 2) -> da * (xp.tanh(self.z) * (1 - xp.tanh(self.z)))

activations ReLU.backward
1 the gradient let through everywhere: a is never negative. Which units does your condition close?
  self.a > 0 -> self.a >= 0
1 the gate opened by the gradient: Which units pass their gradient on was decided in forward.
  self.a > 0 -> da > 0

activations GELU.forward
2 the approximation by tanh: Many programs use it. The text above asks for the exact form.
  self.z, self.Phi = z, normal_cdf(z)
->
  self.z, xp = z, array_module(z)
  self.Phi = 0.5 * (1 + xp.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

activations GELU.backward
1 half of the product rule: z appears twice in z Phi(z). Each of the two gives a term.
  self.Phi + self.z * phi -> self.Phi
1 phi without its z: In the product rule each derivative is multiplied by the other factor.
  self.Phi + self.z * phi -> self.Phi + phi

activations LeakyReLU.backward
1 the slope forgotten below 0: On the left the function still rises, if gently.
  da, self.slope * da -> da, 0 * da

activations ELU.backward
1 a for f' on the left: The derivative of exp(z) - 1 is not exp(z) - 1.
  xp.exp(xp.minimum -> xp.expm1(xp.minimum

layers Linear.forward
2 no bias: With x = 0 every output should be the unit's own constant.
  z += self.bias[..., None, :] -> pass
2 the weight transposed: weight has a row for each input. Write the shapes on paper.
  x @ self.weight -> x @ self.weight.mT

layers Linear.backward
1 dbias is a mean: The loss has divided by N already. The bias is in N rows: each adds its share.
  dz.sum(axis=-2 -> dz.mean(axis=-2
1 dweight divided by N once more: The loss has divided by N already: nothing is left to divide here.
  self.x.mT, dz, out -> self.x.mT, dz / dz.shape[-2], out
1 dbias summed over the units: dbias has one number for each unit. So which axis of dz has to go?
  dz.sum(axis=-2, out=self.dbias) -> self.dbias = dz.sum(axis=-1)
1 the factors of dweight swapped: dweight has the shape of weight, (D_in, D_out). Yours has another.
  xp.matmul(self.x.mT, dz, out=self.dweight) -> self.dweight = dz.mT @ self.x
1 dx from weight, not transposed: On the way back, weight leads from the outputs to the inputs.
  self.weight.mT if -> self.weight if
3 dweight adds up: Called a second time, it is wrong: something of the first is still there.
  xp.matmul(self.x.mT, dz, out=self.dweight) -> self.dweight += self.x.mT @ dz
3 dbias adds up: Called a second time, it is wrong: something of the first is still there.
  dz.sum(axis=-2, out=self.dbias) -> self.dbias += dz.sum(axis=-2)

losses SoftmaxCrossEntropy.forward
2 a sum, not a mean: A batch twice as large should not be twice as wrong.
  picked.sum(axis=(-2, -1))) / N -> picked.sum(axis=(-2, -1)))
2 softmax over the batch: The probabilities of one sample add up to 1. Along which axis do yours?
  exponentials.sum(axis=-1 -> exponentials.sum(axis=-2
2 the wrong sign: A probability is below 1, so its logarithm is negative. A loss is not.
  (xp.log(total).sum(axis=(-2, -1)) - picked.sum(axis=(-2, -1)))
->
  (picked.sum(axis=(-2, -1)) - xp.log(total).sum(axis=(-2, -1)))
2 the logarithm to base 2: The unit is the nat.
  xp.log(total) -> xp.log2(total)
3 exp of a large score: exp(1000) is no float. Softmax stays the same if a row is shifted.
  logits - logits.max(axis=-1, keepdims=True) -> logits.copy()
3 the largest score of the batch: In a row far below another one, all exponentials become 0.
  logits.max(axis=-1, keepdims=True) -> logits.max()
3 the logarithm of a 0: A small p is rounded to 0. Write log p with z, and without p.
  (xp.log(total).sum(axis=(-2, -1)) - picked.sum(axis=(-2, -1)))
->
  -xp.where(self.one_hot, xp.log(self.probabilities), 0).sum(axis=(-2, -1))
3 1e-12 added to p: A loss has no upper end. How large can that of one sample be with yours?
  (xp.log(total).sum(axis=(-2, -1)) - picked.sum(axis=(-2, -1)))
->
  -xp.where(self.one_hot, xp.log(self.probabilities + 1e-12), 0).sum(axis=(-2, -1))

losses SoftmaxCrossEntropy.backward
1 the gradient of the SUM: This is the gradient of the sum over the batch. The loss is its mean.
  (1 / N) -> 1
1 truth minus prediction: A step goes against the gradient. With yours, the true class would lose.
  self.probabilities - self.one_hot -> self.one_hot - self.probabilities
1 the truth left out: Each row of the gradient adds up to 0: what one class gains, others lose.
  (self.probabilities - self.one_hot) -> self.probabilities
1 softmax derived twice: p minus truth is what remains after softmax AND logarithm.
  (self.probabilities - self.one_hot) *
->
  (self.probabilities - self.one_hot) * self.probabilities * (1 - self.probabilities) *
1 divided by the classes too: The loss is a mean over the samples. It has no mean over the classes.
  N = self.probabilities.shape[-2] -> N = self.probabilities.size
1 classes taken for samples: The probabilities have two axes. Which one is the loss a mean over?
  N = self.probabilities.shape[-2] -> N = self.probabilities.shape[-1]

network MLP.backward
2 from the first layer to the last: Which layer gave the logits, whose gradient you are given?
  reversed(self.layers.items()) -> self.layers.items()
2 past the activations: Every layer has a say in the chain rule, not only those with weights.
  gradient = layer.backward(gradient)
->
  gradient = layer.backward(gradient) if name.startswith("fc") else gradient
3 dL/dinput recorded for dL/doutput: Which of the two is a layer handed, which does it return?
      self._output_gradients[name] = gradient
      gradient = layer.backward(gradient)
->
      gradient = layer.backward(gradient)
      self._output_gradients[name] = gradient

network INITIALIZERS
3 a variance taken for a bound: With He's weights |dL/dz| should stay the same from layer to layer.
  "he": lambda D_in, D_out: math.sqrt(6 / D_in) -> "he": lambda D_in, D_out: 2 / D_in
3 a bound without its root: How much smaller is |dL/dz| one layer down, before the first step?
  "uniform": lambda D_in, D_out: 1 / math.sqrt(D_in) -> "uniform": lambda D_in, D_out: 1 / D_in

network initial_theta
3 all weights positive: Look at the activations before the first step: what is their mean?
  bound * rng.uniform(-1, 1, D_in * D_out) -> bound * rng.uniform(0, 1, D_in * D_out)

optimizers SGD.formula
3 uphill: The gradient points to where the loss grows.
  theta -= -> theta +=
3 a new theta that nobody sees: theta is a new array now. The network still has the old one.
  theta -= learning_rate * g -> theta = theta - learning_rate * g

optimizers SGDMomentum.formula
3 nothing is ever forgotten: The velocity should remember less and less of old gradients.
  velocity *= momentum -> pass
3 a mean for a sum: A steady gradient should be amplified ten times. With yours it is not.
  velocity += g -> velocity += (1 - momentum) * g
3 the step before the velocity: The first step goes nowhere. Which velocity does it use?
  velocity *= momentum
  velocity += g
  theta -= learning_rate * velocity
->
  theta -= learning_rate * velocity
  velocity *= momentum
  velocity += g
3 a velocity that is not kept: velocity is a new array now. The optimizer still has the old one.
  velocity *= momentum
  velocity += g
->
  velocity = momentum * velocity + g

optimizers RMSprop.formula
3 eps inside RMSprop's root: Gradients of 1 do not show it, gradients of 1e-8 do.
  sqrt(v) + eps -> sqrt(v + eps)
3 RMSprop without its root: Which unit has v, and which has g? Their quotient should have none.
  sqrt(v) -> v
3 g, not squared: A running mean of g can be negative, and what then is its root?
  (g * g) -> g
3 the shares swapped: The past should weigh 0.99 and the new gradient 0.01.
  v *= alpha
  v += one_minus_alpha * (g * g)
->
  v *= one_minus_alpha
  v += alpha * (g * g)
3 a v that is not kept: v is a new array now. The optimizer still has the old one, full of zeros.
  v *= alpha
  v += one_minus_alpha * (g * g)
->
  v = alpha * v + one_minus_alpha * (g * g)
3 a sum that only grows: That is AdaGrad: its steps get shorter and shorter. RMSprop forgets.
  v *= alpha
  v += one_minus_alpha * (g * g)
->
  v += g * g

optimizers Adam.formula
3 eps inside Adam's root: Gradients of 1 do not show it, gradients of 1e-8 do.
  sqrt(v_scale * v) + eps -> sqrt(v_scale * v + eps)
3 Adam without its root: The first step should have the size of the rate, whatever the gradient.
  sqrt(v_scale * v) -> v_scale * v
3 v_scale upside down: v is too small at first. Does yours make it larger, or smaller still?
  sqrt(v_scale * v) -> sqrt(v / v_scale)
3 Adam's g, not squared: Look at v where g is negative. A mean of what is never negative?
  (g * g) -> g
3 moments that are not kept: m and v are new arrays now. The optimizer still has the old ones.
  m *= beta1
  m += one_minus_beta1 * g
  v *= beta2
  v += one_minus_beta2 * (g * g)
->
  m = beta1 * m + one_minus_beta1 * g
  v = beta2 * v + one_minus_beta2 * (g * g)
3 g for m: Which of the two remembers the earlier gradients?
  step_size * m -> step_size * g

optimizers Adam.step
3 no bias correction: m and v started at 0, so at first they are too small. And your steps?
  step_size, v_scale = self.learning_rate / (1 - beta1**self.t), 1 / (1 - beta2**self.t)
->
  step_size, v_scale = self.learning_rate, 1
3 the same correction at each step: The first step is right. At the second, m knows two gradients.
  step_size, v_scale = self.learning_rate / (1 - beta1**self.t), 1 / (1 - beta2**self.t)
->
  step_size, v_scale = self.learning_rate / (1 - beta1), 1 / (1 - beta2)
3 only m corrected: v started at 0 as well, and needs far longer than m to forget it.
  1 / (1 - beta2**self.t) -> 1
3 only v corrected: m started at 0 as well: the first one is only a tenth of the gradient.
  self.learning_rate / (1 - beta1**self.t) -> self.learning_rate
3 the step that never counts: The first step is right. What should have changed by the second?
  self.t += 1 -> self.t = 1
3 the betas swapped: beta1 = 0.9 belongs to the mean of g, beta2 = 0.999 to that of its square.
  beta1, beta2 = self.betas -> beta2, beta1 = self.betas

optimizers AdamW.step
3 decay through the moments: In AdamW the decay does NOT pass through m and v.
  self.theta *= 1 - self.learning_rate * self.weight_decay
->
  self.g += self.weight_decay * self.theta
3 decay without the rate: A step should take off learning_rate times weight_decay of each weight.
  self.learning_rate * self.weight_decay -> self.weight_decay
3 decay after the step: A small difference: what decays is the weight as it was before the step.
  self.theta *= 1 - self.learning_rate * self.weight_decay
  super().step()
->
  super().step()
  self.theta *= 1 - self.learning_rate * self.weight_decay

schedulers Cosine.__call__
3 an epoch early: The first epoch is number 0, and has the full rate.
  epoch / self.epochs -> (epoch + 1) / self.epochs
3 a whole period: The rate should fall to the end. Yours rises again from the middle on.
  math.pi * epoch -> 2 * math.pi * epoch
3 the half forgotten: 1 + cos(0) is 2. And the first rate?
  / self.epochs)) / 2 -> / self.epochs))
3 zero in the last epoch: The rate reaches 0 one epoch after the last, so that no epoch is wasted.
  epoch / self.epochs -> epoch / max(1, self.epochs - 1)
3 up again after the end: What is the rate after the end? The cosine itself rises again.
  epoch = min(epoch, self.epochs) -> pass

schedulers Step.__call__
3 a fall too early: Count the epochs at the first rate.
  epoch // step_size -> (epoch + 1) // step_size

training/loop train_epoch
3 the labels of other images: The accuracy is that of guessing. Which label has which image?
  labels[batch] -> labels[batch - 1]
3 the step before the gradient: Each step uses the gradient of the batch before.
      model.backward(loss.backward())
      optimizer.step()
->
      optimizer.step()
      model.backward(loss.backward())

training/loop scaled
3 pixels from 0 to 2: Look at the mean of what the network is given.
  x -= 1 -> pass

training/loop Training.__init__
3 validation images in the training: The validation accuracy looks too good beside that of the test.
  self.train_rows = [rows[:n_train] for rows in shuffled]
->
  self.train_rows = [rows[-n_train:] for rows in shuffled]

training/loop Training.train
3 no shuffle: Is the order of the batches another one in each epoch?
  run["batches"].permutation(rows) -> rows

training/loop Training.learning_rates
3 the rate of the next epoch: The log has the rate of every epoch. Which has the first?
  schedule(self.epoch) -> schedule(self.epoch + 1)
"""


class Mistake(NamedTuple):
    """One known mistake: `old`, which the function has exactly once, becomes `new`."""

    name: str
    module: str
    function: str
    level: int
    old: str
    new: str
    hint: str

    def plant(self, source: str) -> str:
        """Return the module's source with this mistake. Raises ValueError unless `old` fits."""
        body, k = places(ast.parse(source))[self.function]
        lines = source.splitlines(keepends=True)
        first, last = body[k].lineno - 1, body[k].end_lineno
        text = "".join(lines[first:last])
        start = text.partition(self.old.partition("\n")[0])[0].rpartition("\n")[2]
        indent = "\n" + " " * (len(start) - len(start.lstrip()))
        old, new = (part.replace("\n", indent) for part in (self.old, self.new))
        if text.count(old) != 1:
            raise ValueError(f"{self.name!r} fits {self.function} {text.count(old)} times")
        return "".join([*lines[:first], text.replace(old, new), *lines[last:]])


def read(table: str) -> list[Mistake]:
    """Return the mistakes that a table like the one above lists."""
    found = []
    for block in table.strip().split("\n\n"):
        place, *rest = block.splitlines()
        module, function = place.split()
        for entry in re.split(r"\n(?=\d )", "\n" + "\n".join(rest))[1:]:
            title, _, change = entry.partition("\n")
            level, name, hint = re.fullmatch(r"(\d) (.+?): (.+)", title).groups()
            old, new = (textwrap.dedent(part).strip() for part in change.split("->"))
            found.append(Mistake(name, module, function, int(level), old, new, hint))
    return found


MISTAKES = read(TABLE)
