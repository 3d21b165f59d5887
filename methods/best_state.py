"""The state of networks at their best validation score, and when to stop waiting for a better one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn

Modules: TypeAlias = Mapping[str, nn.Module]
Score: TypeAlias = float | tuple[float, ...]
"""The higher, the better. Of a tuple the first number counts, and each further one breaks a tie."""


class BestState:
    """Keeps a copy of parameters and running statistics at the highest score; the first of equals.

    >>> from torch.nn import Linear
    >>> best = BestState()
    >>> network = {"net": Linear(2, 1)}
    >>> best.offer(0.4, step=10, modules=network), best.offer(0.3, step=20, modules=network)
    (True, False)
    >>> best.score, best.step, best.waited(30)
    ((0.4,), 10, 20)
    """

    def __init__(self) -> None:
        self.score: tuple[float, ...] = (float("-inf"),)
        self.step = 0
        self._copies: dict[str, dict[str, Tensor]] = {}

    def offer(self, score: Score, *, step: int, modules: Modules) -> bool:
        """Copy the modules if ``score`` is the best so far, and return whether it is; NaN never is."""
        numbers = _numbers(score)
        if not numbers > self.score:
            return False
        self.score, self.step = numbers, step
        self._copies = {
            name: {key: value.detach().clone() for key, value in module.state_dict().items()}
            for name, module in modules.items()
        }
        return True

    def waited(self, step: int) -> int:
        """Return how many steps ago the best was."""
        return step - self.step

    def put_back(self, modules: Modules) -> None:
        """Return the modules to their best state, in place, if there is one."""
        for name, copy in self._copies.items():
            modules[name].load_state_dict(copy)

    def state(self) -> dict[str, Any]:
        """Return all of it for a checkpoint."""
        return {"score": self.score, "step": self.step, "copies": self._copies}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``."""
        self.score, self.step, self._copies = _numbers(state["score"]), state["step"], state["copies"]


def _numbers(score: Score) -> tuple[float, ...]:
    return score if isinstance(score, tuple) else (score,)
