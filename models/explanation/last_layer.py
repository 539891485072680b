# SPDX-License-Identifier: Apache-2.0
"""The explanation of a classifier at its last features, in the same graph as its logits."""

from torch import Tensor, nn

from models.explanation.class_maps import grad_cam, hires_cam
from models.explanation.head_gradient import head_gradient
from models.networks.cam import CamHead
from models.networks.classifier import Classifier
from models.networks.depths import Depths
from models.networks.vgg import DenseHead

AVERAGE_OUTPUTS = ("probability", "logits", "cam", "gradcam", "feature")
DENSE_OUTPUTS = ("probability", "logits", "gradcam", "hirescam", "offset")


class AverageExplained(nn.Module):
    """A classifier with a `CamHead`: images to (probability, logits, cam, gradcam, feature).

    cam (N, K, h, w) is signed and exact: `cam.mean(h, w) + bias == logits`. gradcam is Grad-CAM of the same layer,
    which for this head is nothing but `relu(cam) / (h * w)`. feature (N, D) is the mean of the features.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        if not isinstance(classifier.head, CamHead):
            raise TypeError("the classifier has a dense head; explain it with DenseExplained")
        self.classifier, self.head = classifier, classifier.head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logits, cam, gradcam, feature)."""
        return self._explained(self.classifier.features(image))

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth)."""
        features, depths = self.classifier.features_with_depths(image)
        return self._explained(features), depths

    def _explained(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        logits, cam = self.head(features)
        gradcam = cam.relu() / (cam.shape[2] * cam.shape[3])
        return logits.softmax(dim=1), logits, cam, gradcam, features.mean(dim=(2, 3))


class DenseExplained(nn.Module):
    """A classifier with a `DenseHead`: images to (probability, logits, gradcam, hirescam, offset).

    hirescam (N, K, h, w) is signed, and with offset (N, K) an exact decomposition: `hirescam.sum(h, w) + offset ==
    logits`. The offset is what the biases contribute through the open ReLUs; it belongs to no place.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        if not isinstance(classifier.head, DenseHead):
            raise TypeError("the classifier averages its features; explain it with AverageExplained")
        self.classifier, self.head = classifier, classifier.head

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logits, gradcam, hirescam, offset)."""
        features = self.classifier.features(image)
        logits, gradient, offset = head_gradient(self.head, features)
        gradcam, hirescam = grad_cam(features, gradient), hires_cam(features, gradient)
        return logits.softmax(dim=1), logits, gradcam, hirescam, offset
