"""nnlite.schedulers: every registered schedule, by hand and against torch's."""

import pytest

from nnlite.schedulers import SCHEDULERS

# name -> {epoch: rate / initial rate} in a run of 20 epochs
BY_HAND = {
    "none": {0: 1, 1: 1, 19: 1},
    "step": {0: 1, 5: 1, 6: 0.1, 11: 0.1, 12: 0.01, 18: 0.001},  # 20 // 3 = 6
    "cosine": {0: 1, 5: (1 + 0.5**0.5) / 2, 10: 0.5, 15: (1 - 0.5**0.5) / 2},  # steps of 45 degrees
    "exponential": {0: 1, 1: 0.9, 2: 0.81, 3: 0.729},
}
# name -> torch's schedule for a run of so many epochs
TORCH = {
    "none": lambda s, optimizer, epochs: s.ConstantLR(optimizer, factor=1),
    "step": lambda s, optimizer, epochs: s.StepLR(optimizer, step_size=epochs // 3, gamma=0.1),
    "cosine": lambda s, optimizer, epochs: s.CosineAnnealingLR(optimizer, T_max=epochs),
    "exponential": lambda s, optimizer, epochs: s.ExponentialLR(optimizer, gamma=0.9),
}

every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


@every_scheduler
def test_by_hand(name):
    schedule = SCHEDULERS[name](0.02, 20)
    for epoch, factor in BY_HAND[name].items():
        assert schedule(epoch) == pytest.approx(0.02 * factor, rel=1e-12)


@every_scheduler
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")  # the optimizer takes no steps here
def test_against_torch(name):
    torch = pytest.importorskip("torch")
    for epochs in range(3, 31):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        theirs = TORCH[name](torch.optim.lr_scheduler, optimizer, epochs)
        ours = SCHEDULERS[name](0.1, epochs)
        for epoch in range(epochs):
            expected = theirs.get_last_lr()[0]
            assert ours(epoch) == pytest.approx(expected, rel=1e-9), (epochs, epoch)
            theirs.step()


@every_scheduler
@pytest.mark.parametrize("epochs", [1, 2, 3, 10, 100])
def test_from_the_full_rate_down_and_never_zero(name, epochs):
    schedule = SCHEDULERS[name](0.1, epochs)
    rates = [schedule(epoch) for epoch in range(epochs)]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0
    assert rates == [schedule(epoch) for epoch in reversed(range(epochs))][::-1]  # no state


@every_scheduler
def test_beyond_its_length_no_rate_rises(name):
    schedule = SCHEDULERS[name](0.1, 5)
    rates = [schedule(epoch) for epoch in range(12)]
    assert rates == sorted(rates, reverse=True)


def test_step_in_five_epochs():
    """5 // 3 = 1, as in the original sheet: a tenth after every epoch."""
    schedule = SCHEDULERS["step"](1, 5)
    assert [schedule(epoch) for epoch in range(5)] == pytest.approx([1, 0.1, 0.01, 1e-3, 1e-4])


@every_scheduler
@pytest.mark.parametrize(
    "rate, epochs, words",
    [
        (0.1, 0, "epochs is 0: it must be an integer above 0"),
        (0.1, 2.5, "epochs is 2.5"),
        (0.1, "3", "epochs is '3'"),
        (0.1, True, "epochs is True"),
        (float("nan"), 3, "learning_rate is nan"),
        (-0.1, 3, "learning_rate is -0.1: it must be a number, 0 or more"),
        ("0.1", 3, "learning_rate is '0.1'"),
    ],
)
def test_bad_arguments_are_refused(name, rate, epochs, words):
    with pytest.raises(ValueError, match=words):
        SCHEDULERS[name](rate, epochs)
