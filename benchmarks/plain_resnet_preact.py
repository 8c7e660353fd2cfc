"""ResNet-preact as a user would write it, with torch alone; its names are those of our state dicts."""

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions and a shortcut, which starts after the first activation in the first block of a stage."""

    def __init__(self, inputs: int, outputs: int, *, is_first: bool) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.is_first = is_first
        self.shortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = functional.relu(self.bn1(x))
        residual: torch.Tensor = self.conv2(functional.relu(self.bn2(self.conv1(activated))))
        shortcut: torch.Tensor = activated if self.is_first else x
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut)
        return residual + shortcut


class PlainResNetPreact(nn.Module):
    """Three stages of blocks with 16, 32 and 64 channels (He et al. 2016)."""

    def __init__(self, num_classes: int, depth: int = 20) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        blocks = []
        for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
            blocks.append(Block(inputs, outputs, is_first=True))
            blocks += [Block(outputs, outputs, is_first=False) for _ in range((depth - 2) // 6 - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(64)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn(self.blocks(self.stem(x))))
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits
