"""Post-activation residual network for small images (He et al. 2015, 'Deep Residual Learning', section 4.2)."""

from torch import Tensor, nn

from models.fused import norm_relu
from models.layers import block_shapes, conv1x1, conv3x3
from models.names import STAGE_CHANNELS


class BasicBlock(nn.Module):
    """Block of conv-BN-ReLU-conv-BN, added to the shortcut, then ReLU.

    If the number of channels changes, the shortcut is a 1x1 convolution followed by BN, else the identity.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(conv1x1(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(norm_relu(self.bn1, self.conv1(x)))
        return norm_relu(self.bn2, y, self.shortcut(x))


class ResNet(nn.Module):
    """Network of depth 6n+2 in three stages of n blocks; maps images [N, 3, H, W] to logits [N, num_classes]."""

    def __init__(self, depth: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(3, STAGE_CHANNELS[0]), nn.BatchNorm2d(STAGE_CHANNELS[0]), nn.ReLU())
        self.blocks = nn.Sequential(*(BasicBlock(*shape) for *shape, _ in block_shapes(depth)))
        self.head = nn.Linear(STAGE_CHANNELS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, _ = self.stem  # the ReLU is done together with the norm
        x = self.blocks(norm_relu(norm, convolution(x)))
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits
