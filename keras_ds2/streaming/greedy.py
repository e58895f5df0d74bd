"""The likeliest symbol at every step, written down as the steps come."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from keras_ds2.decoding import Hypothesis
from keras_ds2.text.alphabet import BLANK, Alphabet


@dataclasses.dataclass
class Symbol:
    """One symbol that was heard.

    Attributes:
        id: in the alphabet.
        first_step: at which it starts.
        last_step: the last one of its run.
        log_prob: natural logarithm of its probability, at its clearest step.
    """

    id: int
    first_step: int
    last_step: int
    log_prob: float


class GreedyStream:
    """`GreedyDecoder`, a few steps at a time: the same symbols, however they are cut.

    Every decoder of streams has this face: `accept` logits; `symbols` so far, of which the first
    `num_stable` will stay as they are; `hypothesis` of all; `state` to go on from. What it keeps
    beside the symbols does not grow.

    Args:
        alphabet: gives the text of ids.
    """

    def __init__(self, alphabet: Alphabet):
        self.alphabet = alphabet
        self.symbols: list[Symbol] = []
        self.steps = 0
        self._last = BLANK
        self._log_prob = 0.0

    @property
    def num_stable(self) -> int:
        """Symbols that nothing to come can change: here all of them."""
        return len(self.symbols)

    def accept(self, logits) -> None:
        """Reads on.

        Args:
            logits: float `(steps, vocabulary_size)`, before or after log softmax.
        """
        logits = np.asarray(logits, np.float32)
        if not len(logits):
            return
        best = logits.argmax(axis=-1)
        top = logits.max(axis=-1, keepdims=True)
        log_probs = -np.log(np.exp(logits - top).sum(axis=-1))
        self._log_prob += float(log_probs.sum())
        for step, (symbol, log_prob) in enumerate(
            zip(best.tolist(), log_probs.tolist(), strict=True), start=self.steps
        ):
            if symbol != BLANK:
                if symbol != self._last:
                    self.symbols.append(Symbol(symbol, step, step, log_prob))
                else:
                    run = self.symbols[-1]
                    run.last_step = step
                    run.log_prob = max(run.log_prob, log_prob)
            self._last = symbol
        self.steps += len(logits)

    def hypothesis(self) -> Hypothesis:
        """What `GreedyDecoder` would say of all steps so far."""
        ids = [symbol.id for symbol in self.symbols]
        return Hypothesis(
            text=self.alphabet.decode(ids),
            ids=tuple(ids),
            steps=tuple(symbol.first_step for symbol in self.symbols),
            log_prob=self._log_prob,
        )

    def state(self) -> dict[str, np.ndarray]:
        """All that `restore` needs: arrays, those of the symbols as long as the text."""
        return {
            "steps": np.array(self.steps, np.int64),
            "last": np.array(self._last, np.int64),
            "log_prob": np.array(self._log_prob, np.float64),
            "symbols": np.array(
                [(each.id, each.first_step, each.last_step) for each in self.symbols], np.int64
            ).reshape(-1, 3),
            "symbol_log_probs": np.array([each.log_prob for each in self.symbols], np.float64),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave.

        Raises:
            ValueError: if it is none, or of another alphabet.
        """
        for name, expected in self.state().items():
            found = state[name]
            if (found.dtype, found.shape[1:]) != (expected.dtype, expected.shape[1:]) or (
                found.ndim != expected.ndim
            ):
                raise ValueError(
                    f"state: {name}: expected {expected.dtype} of {expected.ndim} axes, received "
                    f"{found.dtype} of shape {found.shape}"
                )
        steps, last, log_prob = int(state["steps"]), int(state["last"]), float(state["log_prob"])
        ids = state["symbols"][:, 0]
        known = np.append(ids, last or 1)
        if not (known.min() > BLANK and known.max() < len(self.alphabet)):
            raise ValueError(
                f"state: symbols: expected ids from 1 to {len(self.alphabet) - 1}; it is another "
                "alphabet's"
            )
        order = np.concatenate([[0], state["symbols"][:, 1:].ravel(), [steps]])
        if (np.diff(order) < 0).any() or (len(ids) and order[-2] == steps):
            raise ValueError(f"state: symbols: expected steps in order, from 0 to {steps - 1}")
        rows = zip(state["symbols"].tolist(), state["symbol_log_probs"].tolist(), strict=True)
        self.symbols = [Symbol(*row, probability) for row, probability in rows]
        self.steps, self._last, self._log_prob = steps, last, log_prob
