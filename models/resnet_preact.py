"""Pre-activation residual network for small images (He et al. 2016, 'Identity Mappings', section 5)."""

from torch import Tensor, nn

from models.fused import add_norm_relu, norm_relu
from models.layers import block_shapes, conv1x1, conv3x3
from models.names import STAGE_CHANNELS


class PreactBlock(nn.Module):
    """Block of BN-ReLU-conv-BN-ReLU-conv, added to the shortcut.

    The shortcut of the first block of a stage (`shortcut_after_activation`) starts after the first BN-ReLU, that of
    all other blocks before it. If the number of channels changes, the shortcut is a 1x1 convolution without BN.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, shortcut_after_activation: bool) -> None:
        super().__init__()
        self.shortcut_after_activation = shortcut_after_activation
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = conv1x1(in_channels, out_channels, stride)

    def forward(self, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the two summands of the block's output; those of its input are given, since BN-ReLU adds them up."""
        total, activated = add_norm_relu(self.bn1, x, residual)
        y = norm_relu(self.bn2, self.conv1(activated))
        return self.conv2(y), self.shortcut(activated if self.shortcut_after_activation else total)


class ResNetPreact(nn.Module):
    """Network of depth 6n+2 in three stages of n blocks; maps images [N, 3, H, W] to logits [N, num_classes]."""

    def __init__(self, depth: int, num_classes: int) -> None:
        super().__init__()
        self.stem = conv3x3(3, STAGE_CHANNELS[0])
        self.blocks = nn.ModuleList(
            PreactBlock(in_channels, out_channels, stride, shortcut_after_activation=is_first)
            for in_channels, out_channels, stride, is_first in block_shapes(depth)
        )
        self.bn = nn.BatchNorm2d(STAGE_CHANNELS[-1])
        self.head = nn.Linear(STAGE_CHANNELS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x, residual = self.stem(x), None
        for block in self.blocks:
            x, residual = block(x, residual)
        _, x = add_norm_relu(self.bn, x, residual)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits
