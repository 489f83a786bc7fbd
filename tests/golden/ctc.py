"""The golden cases of connectionist temporal classification.

As in `operations.py`, whose form they have; they lie in a file of their own, `ctc.safetensors`. Chances come from a
log-softmax of what is differentiated, since PyTorch's gradient of the chances themselves is meant for one.

The Rust twin of this table is `tests/tests/operations/golden_ctc.rs`.
"""

import torch
import torch.nn.functional as F

from operations import Case, Values


def cases() -> list[Case]:
    found: list[Case] = []

    def case(suffix: str, classes: int, time: int, targets: list[list[int]], lengths: list[int], labels: list[int], **options):
        """Targets with what pads them, and of each sequence the steps and the labels that count."""
        name = "ctc" + ("_" + suffix if suffix else "")
        values = Values(name)
        inputs = [values.normal(len(targets), time, classes) * 2, *map(torch.tensor, (targets, lengths, labels))]

        def function(logits, targets, lengths, labels):
            chances = logits.log_softmax(-1).transpose(0, 1)
            return F.ctc_loss(chances, targets, lengths, labels, reduction="none", **options)

        inputs[0] = inputs[0].float().double()
        found.append(Case("ctc", name, inputs, function))

    case("", 5, 8, [[1, 2, 3], [4, 4, 1], [2, 1, 1]], [8, 8, 6], [3, 3, 2])
    case("last_blank", 5, 8, [[0, 0, 3], [2, 2, 1]], [8, 7], [3, 3], blank=4)
    case("repeated", 3, 12, [[1, 1, 1, 1], [2, 2, 1, 1]], [12, 7], [4, 4])
    case("empty_targets", 4, 5, [[1, 2], [1, 0], [3, 3]], [5, 4, 1], [2, 0, 0])
    case("one_step", 3, 1, [[1], [2], [1]], [1, 1, 1], [1, 1, 0])
    # As many steps as the alignment needs, one fewer, and no step at all.
    case("zero_infinity", 4, 6, [[1, 1, 2], [1, 1, 2], [3, 1, 0], [1, 0, 0]], [4, 3, 6, 0], [3, 3, 2, 1], zero_infinity=True)
    targets = [[1 + (i * 7 + i // 3) % 11 for i in range(30)], [1 + (i * i) % 11 for i in range(30)]]
    case("long", 12, 120, targets, [120, 90], [30, 21])
    return found
