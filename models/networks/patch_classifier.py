# SPDX-License-Identifier: Apache-2.0
"""Any classifier with an averaging head, with the outputs of `patch_resnet.PatchResNet`: for families and transfer."""

from torch import Tensor, nn

from models.explanation.last_layer import AverageExplained
from models.networks.classifier import Classifier
from models.networks.depths import Depths


class PatchClassifier(nn.Module):
    """Patches (N, 1, H, W) in [0, 1] to probability, logits, maps (N, K, h, w) and features (N, D)."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.explained = AverageExplained(classifier)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logits, cam, feature)."""
        return self._chosen(self.explained((patches - _MEAN) / _DEVIATION))

    def with_depths(self, patches: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth)."""
        outputs, depths = self.explained.with_depths((patches - _MEAN) / _DEVIATION)
        return self._chosen(outputs), depths

    @staticmethod
    def _chosen(outputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        probability, logits, cam, _, feature = outputs
        return probability, logits, cam, feature


_MEAN, _DEVIATION = 0.449, 0.226
"""Of ImageNet's images as grey: what torchvision's weights expect."""
